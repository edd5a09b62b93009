/* A small soft SDF device for tests (GM/T 0018-2012): SM4 of GB/T 32907 with a table, one KEK, one
 * signer, and a fault that a test switches on. Not constant-time, not for anything else. */
#include <stdlib.h>
#include <string.h>

typedef unsigned char u8;
typedef unsigned int u32;

static int fault;
static int (*signer)(const u8 *digest, u8 *r_and_s);
static u8 signing_point[64];
static int right_held;

void soft_fault(int number) { fault = number; }
void soft_signer(int (*function)(const u8 *, u8 *), const u8 *point)
{
	signer = function;
	memcpy(signing_point, point, 64);
}

static const u8 SBOX[256] = {
	0xd6, 0x90, 0xe9, 0xfe, 0xcc, 0xe1, 0x3d, 0xb7, 0x16, 0xb6, 0x14, 0xc2, 0x28, 0xfb, 0x2c, 0x05,
	0x2b, 0x67, 0x9a, 0x76, 0x2a, 0xbe, 0x04, 0xc3, 0xaa, 0x44, 0x13, 0x26, 0x49, 0x86, 0x06, 0x99,
	0x9c, 0x42, 0x50, 0xf4, 0x91, 0xef, 0x98, 0x7a, 0x33, 0x54, 0x0b, 0x43, 0xed, 0xcf, 0xac, 0x62,
	0xe4, 0xb3, 0x1c, 0xa9, 0xc9, 0x08, 0xe8, 0x95, 0x80, 0xdf, 0x94, 0xfa, 0x75, 0x8f, 0x3f, 0xa6,
	0x47, 0x07, 0xa7, 0xfc, 0xf3, 0x73, 0x17, 0xba, 0x83, 0x59, 0x3c, 0x19, 0xe6, 0x85, 0x4f, 0xa8,
	0x68, 0x6b, 0x81, 0xb2, 0x71, 0x64, 0xda, 0x8b, 0xf8, 0xeb, 0x0f, 0x4b, 0x70, 0x56, 0x9d, 0x35,
	0x1e, 0x24, 0x0e, 0x5e, 0x63, 0x58, 0xd1, 0xa2, 0x25, 0x22, 0x7c, 0x3b, 0x01, 0x21, 0x78, 0x87,
	0xd4, 0x00, 0x46, 0x57, 0x9f, 0xd3, 0x27, 0x52, 0x4c, 0x36, 0x02, 0xe7, 0xa0, 0xc4, 0xc8, 0x9e,
	0xea, 0xbf, 0x8a, 0xd2, 0x40, 0xc7, 0x38, 0xb5, 0xa3, 0xf7, 0xf2, 0xce, 0xf9, 0x61, 0x15, 0xa1,
	0xe0, 0xae, 0x5d, 0xa4, 0x9b, 0x34, 0x1a, 0x55, 0xad, 0x93, 0x32, 0x30, 0xf5, 0x8c, 0xb1, 0xe3,
	0x1d, 0xf6, 0xe2, 0x2e, 0x82, 0x66, 0xca, 0x60, 0xc0, 0x29, 0x23, 0xab, 0x0d, 0x53, 0x4e, 0x6f,
	0xd5, 0xdb, 0x37, 0x45, 0xde, 0xfd, 0x8e, 0x2f, 0x03, 0xff, 0x6a, 0x72, 0x6d, 0x6c, 0x5b, 0x51,
	0x8d, 0x1b, 0xaf, 0x92, 0xbb, 0xdd, 0xbc, 0x7f, 0x11, 0xd9, 0x5c, 0x41, 0x1f, 0x10, 0x5a, 0xd8,
	0x0a, 0xc1, 0x31, 0x88, 0xa5, 0xcd, 0x7b, 0xbd, 0x2d, 0x74, 0xd0, 0x12, 0xb8, 0xe5, 0xb4, 0xb0,
	0x89, 0x69, 0x97, 0x4a, 0x0c, 0x96, 0x77, 0x7e, 0x65, 0xb9, 0xf1, 0x09, 0xc5, 0x6e, 0xc6, 0x84,
	0x18, 0xf0, 0x7d, 0xec, 0x3a, 0xdc, 0x4d, 0x20, 0x79, 0xee, 0x5f, 0x3e, 0xd7, 0xcb, 0x39, 0x48,
};

static u32 rotl(u32 x, int n) { return x << n | x >> (32 - n); }
static u32 tau(u32 x)
{
	return (u32)SBOX[x >> 24] << 24 | (u32)SBOX[x >> 16 & 255] << 16 | (u32)SBOX[x >> 8 & 255] << 8 | SBOX[x & 255];
}

static void sm4(const u8 key[16], const u8 in[16], u8 out[16], int decrypt)
{
	static const u32 FK[4] = { 0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc };
	u32 rk[32], k[36], x[36];
	for (int i = 0; i < 4; i++) {
		k[i] = ((u32)key[4 * i] << 24 | (u32)key[4 * i + 1] << 16 | (u32)key[4 * i + 2] << 8 | key[4 * i + 3]) ^ FK[i];
		x[i] = (u32)in[4 * i] << 24 | (u32)in[4 * i + 1] << 16 | (u32)in[4 * i + 2] << 8 | in[4 * i + 3];
	}
	for (int i = 0; i < 32; i++) {
		u32 ck = 0;
		for (int j = 0; j < 4; j++)
			ck = ck << 8 | (u8)((4 * i + j) * 7);
		u32 t = tau(k[i + 1] ^ k[i + 2] ^ k[i + 3] ^ ck);
		k[i + 4] = rk[i] = k[i] ^ t ^ rotl(t, 13) ^ rotl(t, 23);
	}
	for (int i = 0; i < 32; i++) {
		u32 t = tau(x[i + 1] ^ x[i + 2] ^ x[i + 3] ^ rk[decrypt ? 31 - i : i]);
		x[i + 4] = x[i] ^ t ^ rotl(t, 2) ^ rotl(t, 10) ^ rotl(t, 18) ^ rotl(t, 24);
	}
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++)
			out[4 * i + j] = x[35 - i] >> (24 - 8 * j);
}

static const u8 KEK[16] = "the device's kek";

int SDF_OpenDevice(void **device)
{
	if (fault == 1)
		return 0x01000005;
	*device = fault == 2 ? NULL : malloc(1);
	return 0;
}
int SDF_CloseDevice(void *device) { free(device); return 0; }
int SDF_OpenSession(void *device, void **session)
{
	if (!device || fault == 3)
		return 0x01000006;
	*session = malloc(1);
	return 0;
}
int SDF_CloseSession(void *session) { free(session); return 0; }

int SDF_GetDeviceInfo(void *session, u8 *info)
{
	u32 numbers[7] = { 1, 2012, 0, 0, 0, 0, 0 };
	memset(info, fault == 4 ? 0xff : 0, 100);
	if (fault == 4)
		return 0;
	strcpy((char *)info, "Guitai tests");
	strcpy((char *)info + 40, "soft");
	strcpy((char *)info + 56, "000001");
	memcpy(info + 72, numbers, sizeof numbers);
	return 0;
}

int SDF_GenerateRandom(void *session, u32 length, u8 *out)
{
	static u32 state = 12345;
	for (u32 i = 0; i < length; i++) {
		state = state * 1103515245 + 12345;
		out[i] = fault == 5 ? 0 : state >> 16;
	}
	return 0;
}

int SDF_GenerateKeyWithKEK(void *session, u32 bits, u32 algorithm, u32 index, u8 *wrapped, u32 *length, void **key)
{
	if (index != 1 || bits != 128 || algorithm != 0x401)
		return 0x01000008;
	u8 *made = malloc(16);
	SDF_GenerateRandom(session, 16, made);
	sm4(KEK, made, wrapped, 0);
	*length = fault == 6 ? 0xffffffff : fault == 7 ? 3 : 16;
	*key = fault == 8 ? NULL : made;
	return 0;
}

int SDF_ImportKeyWithKEK(void *session, u32 algorithm, u32 index, u8 *wrapped, u32 length, void **key)
{
	if (index != 1 || length != 16 || fault == 9)
		return 0x01000008;
	u8 *made = malloc(16);
	sm4(KEK, wrapped, made, 1);
	*key = made;
	return 0;
}

int SDF_DestroyKey(void *session, void *key) { free(key); return 0; }

static int crypt(void *key, const u8 *in, u32 length, u8 *out, u32 *out_length, int decrypt)
{
	if (length != 16)
		return 0x0100000f;
	if (fault == 10)
		return 0x0100000f;
	if (fault == 11)
		return -1;
	if (fault == 12) /* over the end of any honest answer */
		memset(out, 0xee, 8192 + 32);
	sm4(key, in, out, decrypt);
	if (fault == 13)
		out[3] ^= 1;
	*out_length = fault == 14 ? 15 : fault == 15 ? 17 : fault == 16 ? 0xffffffff : 16;
	return 0;
}
int SDF_Encrypt(void *s, void *key, u32 algorithm, u8 *iv, u8 *in, u32 length, u8 *out, u32 *out_length)
{
	return crypt(key, in, length, out, out_length, 0);
}
int SDF_Decrypt(void *s, void *key, u32 algorithm, u8 *iv, u8 *in, u32 length, u8 *out, u32 *out_length)
{
	return crypt(key, in, length, out, out_length, 1);
}

int SDF_GetPrivateKeyAccessRight(void *session, u32 index, u8 *password, u32 length)
{
	right_held = index == 2 && length == 15 && !memcmp(password, "signer password", 15);
	return right_held ? 0 : 0x01000007;
}
int SDF_ReleasePrivateKeyAccessRight(void *session, u32 index) { right_held = 0; return 0; }

int SDF_ExportSignPublicKey_ECC(void *session, u32 index, u8 *key)
{
	u32 bits = fault == 20 ? 512 : 256;
	memset(key, 0, 132);
	memcpy(key, &bits, 4);
	memcpy(key + 4 + 32, signing_point, 32);
	memcpy(key + 4 + 96, signing_point + 32, 32);
	if (fault == 21)
		key[4 + 127] ^= 1;
	if (fault == 22)
		key[4] = 1;
	return index == 2 ? 0 : 0x01000008;
}

int SDF_InternalSign_ECC(void *session, u32 index, u8 *digest, u32 length, u8 *signature)
{
	u8 r_and_s[64];
	if (!right_held || length != 32 || signer(digest, r_and_s))
		return 0x0100000d;
	memset(signature, 0, 128);
	memcpy(signature + 32, r_and_s, 32);
	memcpy(signature + 96, r_and_s + 32, 32);
	if (fault == 23)
		signature[0] = 1;
	if (fault == 24)
		signature[40] ^= 1;
	return 0;
}
