/* OpenSSL as an oracle: answers framed requests on standard input and output.
 *
 * A request is 4 bytes of length, one byte of operation, then parts of 4 bytes of length and their bytes.
 * The answer is 4 bytes of length, one byte (0 done, 1 refused), and the result. All numbers are big-endian.
 *
 * cc -O2 -I$GUITAI_OPENSSL/include oracle.c $GUITAI_OPENSSL/libcrypto.a -lpthread
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTS_MAX = 4, BYTES_MAX = 1 << 20 };
enum { SM3 = 1, HMAC_SM3, SM4_ECB, SM4_CTR, SM4_GCM_SEAL, SM4_GCM_OPEN, SM2_SIGN, SM2_VERIFY, SM2_ENCRYPT, SM2_DECRYPT, BENCH, SM2_AGREE };

static unsigned char in[BYTES_MAX], out[BYTES_MAX];
static struct { const unsigned char *bytes; size_t length; } part[PARTS_MAX];
static const char ID[] = "1234567812345678"; /* GM/T 0009 */

static uint32_t number(const unsigned char *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The length of the result, or -1. */
static long cipher(const EVP_CIPHER *type, int seal, const unsigned char *key, const unsigned char *iv,
                   const unsigned char *aad, size_t aad_length, const unsigned char *data, size_t length, int tag) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, last = 0, ok;
    if (tag && !seal) {
        if (length < 16) { EVP_CIPHER_CTX_free(ctx); return -1; }
        length -= 16;
    }
    ok = EVP_CipherInit_ex2(ctx, type, key, iv, seal, NULL) && EVP_CIPHER_CTX_set_padding(ctx, 0);
    if (ok && tag && !seal) ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(data + length));
    if (ok && tag) ok = EVP_CipherUpdate(ctx, NULL, &n, aad, (int)aad_length);
    n = 0;
    if (ok && length) ok = EVP_CipherUpdate(ctx, out, &n, data, (int)length);
    if (ok) ok = EVP_CipherFinal_ex(ctx, out + n, &last);
    n += last;
    if (ok && tag && seal) { ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + n); n += 16; }
    EVP_CIPHER_CTX_free(ctx);
    return ok ? n : -1;
}

/* Reading a key costs as much as using it, and requests come in rows with the same one: the last of each kind is kept. */
static EVP_PKEY *key_of_part(int i, int is_private) {
    static struct { EVP_PKEY *key; unsigned char der[1024]; size_t length; } kept[2], *last;
    const unsigned char *at = part[i].bytes;
    last = &kept[is_private];
    if (last->key && last->length == part[i].length && !memcmp(last->der, at, last->length)) return last->key;
    if (part[i].length > sizeof last->der) return NULL;
    EVP_PKEY_free(last->key);
    memcpy(last->der, at, last->length = part[i].length);
    return last->key = is_private ? d2i_AutoPrivateKey(NULL, &at, (long)part[i].length)
                                  : d2i_PUBKEY(NULL, &at, (long)part[i].length);
}

static long sm2_signature(EVP_PKEY *key, int sign) {
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_DIST_ID, (void *)ID, sizeof ID - 1), OSSL_PARAM_END};
    size_t length = BYTES_MAX;
    long result = -1;
    if (sign) {
        if (EVP_DigestSignInit(md, &ctx, EVP_sm3(), NULL, key) > 0 && EVP_PKEY_CTX_set_params(ctx, params) > 0 &&
            EVP_DigestSign(md, out, &length, part[1].bytes, part[1].length) > 0) result = (long)length;
    } else if (EVP_DigestVerifyInit(md, &ctx, EVP_sm3(), NULL, key) > 0 && EVP_PKEY_CTX_set_params(ctx, params) > 0 &&
               EVP_DigestVerify(md, part[2].bytes, part[2].length, part[1].bytes, part[1].length) == 1) result = 0;
    EVP_MD_CTX_free(md);
    return result;
}

static long sm2_crypt(EVP_PKEY *key, int encrypt) {
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t length = BYTES_MAX;
    int ok = encrypt ? EVP_PKEY_encrypt_init(ctx) > 0 && EVP_PKEY_encrypt(ctx, out, &length, part[1].bytes, part[1].length) > 0
                     : EVP_PKEY_decrypt_init(ctx) > 0 && EVP_PKEY_decrypt(ctx, out, &length, part[1].bytes, part[1].length) > 0;
    EVP_PKEY_CTX_free(ctx);
    return ok ? (long)length : -1;
}

/* The x-coordinate of scalar times point. EVP_PKEY_derive does not take SM2 keys, so group by group. */
static long sm2_agree(void) {
    static EC_GROUP *group; /* slow to make, and the only one */
    if (!group) group = EC_GROUP_new_by_curve_name(NID_sm2);
    EC_POINT *point = EC_POINT_new(group), *product = EC_POINT_new(group);
    BIGNUM *scalar = BN_bin2bn(part[0].bytes, (int)part[0].length, NULL), *x = BN_new();
    int ok = EC_POINT_oct2point(group, point, part[1].bytes, part[1].length, NULL) &&
             EC_POINT_mul(group, product, NULL, point, scalar, NULL) &&
             EC_POINT_get_affine_coordinates(group, product, x, NULL, NULL) && BN_bn2binpad(x, out, 32) == 32;
    BN_free(x);
    BN_clear_free(scalar);
    EC_POINT_free(product);
    EC_POINT_free(point);
    return ok ? 32 : -1;
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* bench: the name of a measure, the bytes it works on, milliseconds of CPU time. The result is text: calls a second. */
static long bench(void) {
    char name[32] = {0};
    EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();
    unsigned char key[16] = {1}, iv[12] = {2}, tag[16], digest[32] = {3}, shared[64];
    EVP_PKEY *pair = NULL;
    EVP_PKEY_CTX *use = NULL;
    size_t length, signature_length = 0, size = number(part[1].bytes);
    double window = number(part[2].bytes) / 1e3, begin, spent;
    long calls = 0, ok = 1;
    if (part[0].length >= sizeof name || size > BYTES_MAX) return -1;
    memcpy(name, part[0].bytes, part[0].length);
    EVP_CIPHER *type = strstr(name, "gcm") ? EVP_CIPHER_fetch(NULL, name, NULL) : NULL;
    const char *hash = !strcmp(name, "sm3") ? "SM3" : !strcmp(name, "sha256") ? "SHA256" : NULL;
    const char *group = strncmp(name, "sm2", 3) ? "P-256" : "SM2";
    const char *dash = strchr(name, '-');
    int act = dash ? dash[1] : 0; /* sign, verify, keygen, dh */
    EVP_MD *md = hash ? EVP_MD_fetch(NULL, hash, NULL) : NULL;
    EVP_MD_CTX *md_ctx = EVP_MD_CTX_new();
    if (!type && !hash) {
        pair = group[0] == 'S' ? EVP_PKEY_Q_keygen(NULL, NULL, "SM2") : EVP_PKEY_Q_keygen(NULL, NULL, "EC", group);
        use = EVP_PKEY_CTX_new(pair, NULL);
        signature_length = BYTES_MAX;
        if (act == 's' || act == 'v') ok = EVP_PKEY_sign_init(use) > 0 && EVP_PKEY_sign(use, out, &signature_length, digest, 32) > 0;
        if (ok && act == 'v') ok = EVP_PKEY_verify_init(use) > 0;
        if (ok && act == 'd') ok = EVP_PKEY_derive_init(use) > 0 && EVP_PKEY_derive_set_peer(use, pair) > 0;
    }
    if (type) ok = EVP_EncryptInit_ex2(gcm, type, key, iv, NULL);
    begin = cpu_seconds();
    do {
        for (int i = 0; ok && i < (type || hash ? 20 : 4); i++, calls++) {
            int n;
            if (type) {
                iv[0]++;
                ok = EVP_EncryptInit_ex2(gcm, NULL, NULL, iv, NULL) && EVP_EncryptUpdate(gcm, NULL, &n, key, 16) &&
                     EVP_EncryptUpdate(gcm, out, &n, in, (int)size) && EVP_EncryptFinal_ex(gcm, out, &n) &&
                     EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_GET_TAG, 16, tag);
            } else if (hash) {
                ok = EVP_DigestInit_ex2(md_ctx, md, NULL) && EVP_DigestUpdate(md_ctx, in, size) && EVP_DigestFinal_ex(md_ctx, digest, NULL);
            } else if (act == 's') {
                length = BYTES_MAX;
                ok = EVP_PKEY_sign(use, out, &length, digest, 32) > 0;
            } else if (act == 'v') {
                ok = EVP_PKEY_verify(use, out, signature_length, digest, 32) > 0;
            } else if (act == 'k') {
                EVP_PKEY *fresh = group[0] == 'S' ? EVP_PKEY_Q_keygen(NULL, NULL, "SM2") : EVP_PKEY_Q_keygen(NULL, NULL, "EC", group);
                ok = fresh != NULL;
                EVP_PKEY_free(fresh);
            } else if (act == 'd') {
                length = sizeof shared;
                ok = EVP_PKEY_derive(use, shared, &length) > 0;
            } else ok = 0;
        }
        spent = cpu_seconds() - begin;
    } while (ok && spent < window);
    EVP_CIPHER_CTX_free(gcm);
    EVP_CIPHER_free(type);
    EVP_MD_CTX_free(md_ctx);
    EVP_MD_free(md);
    EVP_PKEY_CTX_free(use);
    EVP_PKEY_free(pair);
    return ok ? snprintf((char *)out, BYTES_MAX, "%.3f", (double)calls / spent) : -1;
}

static long answer(int operation, int parts) {
    static const int needs[] = {0, 1, 2, 2, 3, 4, 4, 2, 3, 2, 2, 3, 2};
    unsigned int n = 0;
    size_t length = 0;
    long result;
    EVP_PKEY *key;
    if (operation < SM3 || operation > SM2_AGREE || parts != needs[operation]) return -1;
    switch (operation) {
    case SM3: return EVP_Digest(part[0].bytes, part[0].length, out, &n, EVP_sm3(), NULL) ? (long)n : -1;
    case HMAC_SM3:
        return EVP_Q_mac(NULL, "HMAC", NULL, "SM3", NULL, part[0].bytes, part[0].length, part[1].bytes, part[1].length,
                         out, BYTES_MAX, &length) ? (long)length : -1;
    case SM4_ECB: return cipher(EVP_sm4_ecb(), 1, part[0].bytes, NULL, NULL, 0, part[1].bytes, part[1].length, 0);
    case SM4_CTR: return cipher(EVP_sm4_ctr(), 1, part[0].bytes, part[1].bytes, NULL, 0, part[2].bytes, part[2].length, 0);
    case SM4_GCM_SEAL:
    case SM4_GCM_OPEN: {
        EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "SM4-GCM", NULL);
        result = cipher(gcm, operation == SM4_GCM_SEAL, part[0].bytes, part[1].bytes, part[2].bytes, part[2].length,
                        part[3].bytes, part[3].length, 1);
        EVP_CIPHER_free(gcm);
        return result;
    }
    case BENCH: return bench();
    case SM2_AGREE: return sm2_agree();
    }
    key = key_of_part(0, operation == SM2_SIGN || operation == SM2_DECRYPT);
    if (!key) return -1;
    return operation == SM2_SIGN || operation == SM2_VERIFY ? sm2_signature(key, operation == SM2_SIGN)
                                                            : sm2_crypt(key, operation == SM2_ENCRYPT);
}

int main(void) {
    unsigned char head[5];
    while (fread(head, 1, 4, stdin) == 4) {
        uint32_t length = number(head), at = 1;
        int parts = 0;
        if (length < 1 || length > BYTES_MAX || fread(in, 1, length, stdin) != length) return 1;
        while (at + 4 <= length && parts < PARTS_MAX) {
            uint32_t size = number(in + at);
            if (size > length - at - 4) return 1;
            part[parts].bytes = in + at + 4;
            part[parts++].length = size;
            at += 4 + size;
        }
        long result = answer(in[0], parts);
        if (result < 0) ERR_clear_error();
        uint32_t total = 1 + (uint32_t)(result < 0 ? 0 : result);
        for (int i = 0; i < 4; i++) head[i] = (unsigned char)(total >> (24 - 8 * i));
        head[4] = result < 0;
        fwrite(head, 1, 5, stdout);
        fwrite(out, 1, total - 1, stdout);
        fflush(stdout);
    }
    return 0;
}
