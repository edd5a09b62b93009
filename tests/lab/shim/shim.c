/* What the laboratory does to a node's disk and clock from inside its process (LD_PRELOAD).
 *
 * LAB_ROOT     directory whose files are watched; everything else passes untouched
 * LAB_CONTROL  file of 64-bit words, mapped and read at every call, so that faults come and go while the
 *              process runs; the words are those of tests/lab/src/shim.rs
 * LAB_LOG      when set: every change of a watched file is appended here, see tests/lab/src/writes.rs
 *
 * rustix calls the kernel without libc: what it does (statvfs, flock) is not seen here. std goes through
 * libc for all the calls below. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SEQUENCE, WALL_OFFSET_NS, MONO_IN_NS, MONO_OUT_NS, MONO_PPM, SYNCS_LEFT, SYNC_DELAY_NS, FULL, WORDS };
enum { OPEN = 1, WRITE, SYNC_BEGIN, SYNC_END, TRUNCATE, RENAME, UNLINK, MKDIR, SAID, RANGE };
#define FDS 65536

static volatile int64_t *words;
static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1;
static unsigned char watched[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("LAB_ROOT"), *control = getenv("LAB_CONTROL"), *log = getenv("LAB_LOG");
    if (at && realpath(at, root)) root_len = strlen(root);
    if (control) {
        int fd = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            void *map = mmap(NULL, WORDS * 8, PROT_READ, MAP_SHARED, fd, 0);
            if (map != MAP_FAILED) words = map;
            syscall(SYS_close, fd);
        }
    }
    if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* --- the log ------------------------------------------------------------------------------------- */
struct __attribute__((packed)) record {
    uint32_t magic;
    uint32_t op;
    uint64_t inode, a, b;
    uint32_t first, second;
};

static void note(uint32_t op, uint64_t inode, uint64_t a, uint64_t b, const void *first, size_t first_len,
                 const void *second, size_t second_len) {
    if (log_fd < 0) return;
    struct record head = {0x4c414257, op, inode, a, b, first_len, second_len};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)first, first_len}, {(void *)second, second_len}};
    size_t total = sizeof head + first_len + second_len;
    int before = errno;
    pthread_mutex_lock(&lock);
    /* A log that cannot be written would prove nothing: end here, loudly. */
    if ((size_t)syscall(SYS_writev, log_fd, parts, 3) != total) abort();
    pthread_mutex_unlock(&lock);
    errno = before;
}

static uint64_t inode_of(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* The number may be somebody else's by now when it was closed behind libc's back. */
static int is_watched(int fd) {
    struct stat st;
    if (fd < 0 || fd >= FDS || !watched[fd] || fstat(fd, &st) != 0) return 0;
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

/* The absolute path when it lies under the root; its directory must exist. */
static const char *under_root(int dir, const char *path, char *out) {
    char joined[PATH_MAX], parent[PATH_MAX];
    if (!root_len || !path) return NULL;
    if (path[0] == '/') {
        if (snprintf(joined, sizeof joined, "%s", path) >= (int)sizeof joined) return NULL;
    } else {
        char link[64], base[PATH_MAX];
        if (dir == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return NULL;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
            ssize_t got = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
            if (got < 0) return NULL;
            base[got] = 0;
        }
        if (snprintf(joined, sizeof joined, "%s/%s", base, path) >= (int)sizeof joined) return NULL;
    }
    if (strncmp(joined, root, root_len) == 0 && joined[root_len] == 0) {
        strcpy(out, joined);
        return out;
    }
    char *slash = strrchr(joined, '/');
    if (!slash) return NULL;
    *slash = 0;
    if (!realpath(*joined ? joined : "/", parent)) return NULL;
    if (snprintf(out, PATH_MAX, "%s/%s", parent, slash + 1) >= PATH_MAX) return NULL;
    if (strncmp(out, root, root_len) != 0 || (out[root_len] && out[root_len] != '/')) return NULL;
    return out;
}

/* --- faults -------------------------------------------------------------------------------------- */
static int sync_fails(void) {
    static int64_t done, seen = -1;
    if (!words) return 0;
    if (words[SYNC_DELAY_NS] > 0) {
        struct timespec pause = {words[SYNC_DELAY_NS] / 1000000000, words[SYNC_DELAY_NS] % 1000000000};
        nanosleep(&pause, NULL);
    }
    int64_t left = words[SYNCS_LEFT];
    if (left < 0) return 0;
    /* A new request counts anew. */
    pthread_mutex_lock(&lock);
    if (seen != words[SEQUENCE]) seen = words[SEQUENCE], done = 0;
    int fails = done++ >= left;
    pthread_mutex_unlock(&lock);
    return fails;
}

static int is_full(int fd) {
    if (!words || !words[FULL] || !is_watched(fd)) return 0;
    errno = ENOSPC;
    return 1;
}

/* --- files --------------------------------------------------------------------------------------- */
static int opened(int fd, int dir, const char *path, int flags) {
    char at[PATH_MAX];
    if (fd < 0 || fd >= FDS) return fd;
    int before = errno;
    watched[fd] = 0;
    if (under_root(dir, path, at)) {
        watched[fd] = 1;
        struct stat st;
        if (fstat(fd, &st) == 0)
            note(OPEN, st.st_ino, S_ISDIR(st.st_mode), (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY, at,
                 strlen(at), NULL, 0);
    }
    errno = before;
    return fd;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, last); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) {
    MODE(flags, flags)
    return opened(syscall(SYS_openat, AT_FDCWD, path, flags, mode), AT_FDCWD, path, flags);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, flags)
    return opened(syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode), AT_FDCWD, path, flags);
}
int openat(int dir, const char *path, int flags, ...) {
    MODE(flags, flags)
    return opened(syscall(SYS_openat, dir, path, flags, mode), dir, path, flags);
}
int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags, flags)
    return opened(syscall(SYS_openat, dir, path, flags | O_LARGEFILE, mode), dir, path, flags);
}
int close(int fd) {
    if (fd >= 0 && fd < FDS) watched[fd] = 0;
    return syscall(SYS_close, fd);
}

/* Another number for the same file is watched as it is. */
static int copied(int from, int to) {
    if (to >= 0 && to < FDS) watched[to] = from >= 0 && from < FDS && watched[from];
    return to;
}
int dup(int fd) { return copied(fd, syscall(SYS_dup, fd)); }
int dup3(int fd, int to, int flags) { return copied(fd, syscall(SYS_dup3, fd, to, flags)); }
int dup2(int fd, int to) { return fd == to ? to : dup3(fd, to, 0); }
int fcntl(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    int answer = syscall(SYS_fcntl, fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, answer) : answer;
}
int fcntl64(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return fcntl(fd, command, argument);
}

static ssize_t wrote(int fd, const void *data, ssize_t done, off_t at) {
    if (done > 0 && is_watched(fd)) note(WRITE, inode_of(fd), at, 0, data, done, NULL, 0);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) {
    if (is_full(fd)) return -1;
    return wrote(fd, data, syscall(SYS_pwrite64, fd, data, len, at), at);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) { return pwrite(fd, data, len, at); }
ssize_t write(int fd, const void *data, size_t len) {
    if (is_full(fd)) return -1;
    if (fd == STDOUT_FILENO && !is_watched(fd)) {
        /* What the process says, in order with what it wrote before it said so. */
        note(SAID, 0, 0, 0, data, len, NULL, 0);
        return syscall(SYS_write, fd, data, len);
    }
    off_t at = 0;
    if (is_watched(fd)) {
        int flags = syscall(SYS_fcntl, fd, F_GETFL);
        at = syscall(SYS_lseek, fd, 0, (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
    }
    return wrote(fd, data, syscall(SYS_write, fd, data, len), at);
}

static int synced(int fd, long number, int kind) {
    if (!is_watched(fd)) return syscall(number, fd);
    uint64_t inode = inode_of(fd), thread = syscall(SYS_gettid);
    note(SYNC_BEGIN, inode, thread, kind, NULL, 0, NULL, 0);
    if (sync_fails()) { errno = EIO; return -1; }
    int answer = syscall(number, fd);
    if (answer == 0) note(SYNC_END, inode, thread, kind, NULL, 0, NULL, 0);
    return answer;
}
int fsync(int fd) { return synced(fd, SYS_fsync, 0); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync, 1); }
int sync_file_range(int fd, off64_t at, off64_t len, unsigned flags) {
    if (is_watched(fd)) note(RANGE, inode_of(fd), at, len, NULL, 0, NULL, 0);
    return syscall(SYS_sync_file_range, fd, at, len, flags);
}
int ftruncate(int fd, off_t len) {
    struct stat st;
    if (is_watched(fd) && fstat(fd, &st) == 0 && len > st.st_size && is_full(fd)) return -1;
    int answer = syscall(SYS_ftruncate, fd, len);
    if (answer == 0 && is_watched(fd)) note(TRUNCATE, inode_of(fd), len, 0, NULL, 0, NULL, 0);
    return answer;
}
int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }
int fallocate(int fd, int mode, off_t at, off_t len) {
    if (is_full(fd)) return -1;
    int answer = syscall(SYS_fallocate, fd, mode, at, len);
    struct stat st;
    if (answer == 0 && is_watched(fd) && fstat(fd, &st) == 0)
        note(TRUNCATE, st.st_ino, st.st_size, 0, NULL, 0, NULL, 0);
    return answer;
}
int fallocate64(int fd, int mode, off64_t at, off64_t len) { return fallocate(fd, mode, at, len); }

/* --- names --------------------------------------------------------------------------------------- */
int rename(const char *from, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *old = under_root(AT_FDCWD, from, a), *new = under_root(AT_FDCWD, to, b);
    int answer = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (answer == 0 && old && new) note(RENAME, 0, 0, 0, old, strlen(old), new, strlen(new));
    return answer;
}
int unlinkat(int dir, const char *path, int flags) {
    char a[PATH_MAX];
    const char *at = under_root(dir, path, a);
    int answer = syscall(SYS_unlinkat, dir, path, flags);
    if (answer == 0 && at) note(UNLINK, 0, 0, 0, at, strlen(at), NULL, 0);
    return answer;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdir(const char *path, mode_t mode) {
    char a[PATH_MAX];
    const char *at = under_root(AT_FDCWD, path, a);
    int answer = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (answer == 0 && at) note(MKDIR, 0, 0, 0, at, strlen(at), NULL, 0);
    return answer;
}

/* --- the clock ----------------------------------------------------------------------------------- */
int clock_gettime(clockid_t id, struct timespec *out) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int answer = real ? real(id, out) : (int)syscall(SYS_clock_gettime, id, out);
    if (answer != 0 || !words) return answer;
    int64_t now = out->tv_sec * 1000000000LL + out->tv_nsec;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        now += words[WALL_OFFSET_NS];
    } else if (id == CLOCK_MONOTONIC || id == CLOCK_BOOTTIME || id == CLOCK_MONOTONIC_COARSE) {
        int64_t before, in, to, ppm;
        do {
            before = __atomic_load_n(&words[SEQUENCE], __ATOMIC_ACQUIRE);
            in = words[MONO_IN_NS], to = words[MONO_OUT_NS], ppm = words[MONO_PPM];
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
        } while ((before & 1) || before != words[SEQUENCE]);
        if (in == 0) return answer;
        now = to + (now - in) + (int64_t)((__int128)(now - in) * ppm / 1000000);
    } else {
        return answer;
    }
    out->tv_sec = now / 1000000000, out->tv_nsec = now % 1000000000;
    return answer;
}
