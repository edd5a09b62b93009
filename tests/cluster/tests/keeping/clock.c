/* The wall clock of every program that this is preloaded into is off by KEEPING_CLOCK_S seconds. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *at) {
    int result = (int)syscall(SYS_clock_gettime, id, at);
    const char *off = getenv("KEEPING_CLOCK_S");
    if (result == 0 && off && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        at->tv_sec += atoll(off);
    return result;
}
