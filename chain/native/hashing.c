/* OpenSSL's SHA-256 and RIPEMD-160, through functions that need no context from its heap: hashlib's make, copy and
   wipe one for each hash, which costs more than the hash. They are taken from the library that hashlib uses. */

#include "native.h"

#include <dlfcn.h>

static int (*begin)(void *), (*add)(void *, const void *, size_t), (*end)(uint8_t *, void *);
static int (*ripemd_begin)(void *), (*ripemd_add)(void *, const void *, size_t), (*ripemd_end)(uint8_t *, void *);

Hasher TAP_SIGHASH, TAP_LEAF, TAP_BRANCH, TAP_TWEAK;

static void begin_tagged(Hasher *hasher, const char *tag)
{
    uint8_t hash[32];
    sha256(tag, strlen(tag), hash);
    sha256_begin(hasher);
    sha256_add(hasher, hash, 32);
    sha256_add(hasher, hash, 32);
}

bool hashing_is_bound(void) { return begin != NULL; }

/* Whether the functions hash: some builds of OpenSSL have them only to refuse. */
static bool hashes_rightly(void)
{
    static const uint8_t of_nothing[20] = {0xb4, 0x72, 0xa2, 0x66, 0xd0, 0xbd, 0x89, 0xc1, 0x37, 0x06,
                                           0xa4, 0x13, 0x2c, 0xcf, 0xb1, 0x6f, 0x7c, 0x3b, 0x9f, 0xcb};
    uint8_t hash[20] = {0};
    hash160("", 0, hash);
    return memcmp(hash, of_nothing, 20) == 0;
}

/* library: the file of Python's _hashlib. False: *missing says what was not found. */
bool bind_hashing(const char *library, const char **missing)
{
    const struct {
        const char *name;
        void *function;
    } wanted[] = {
        {"SHA256_Init", &begin},          {"SHA256_Update", &add},         {"SHA256_Final", &end},
        {"RIPEMD160_Init", &ripemd_begin}, {"RIPEMD160_Update", &ripemd_add}, {"RIPEMD160_Final", &ripemd_end},
    };
    enum { WANTED = sizeof wanted / sizeof *wanted };
    void *found[WANTED];
    *missing = library;
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL); /* for good: the functions are used as long as we are */
    if (!handle) return false;
    for (size_t i = 0; i < WANTED; i++) {
        *missing = wanted[i].name;
        found[i] = dlsym(handle, wanted[i].name);
        if (!found[i]) return false;
    }
    for (size_t i = 0; i < WANTED; i++) memcpy(wanted[i].function, &found[i], sizeof found[i]);
    if (!hashes_rightly()) {
        *missing = "functions that work";
        begin = NULL;
        return false;
    }
    begin_tagged(&TAP_SIGHASH, "TapSighash");
    begin_tagged(&TAP_LEAF, "TapLeaf");
    begin_tagged(&TAP_BRANCH, "TapBranch");
    begin_tagged(&TAP_TWEAK, "TapTweak");
    return true;
}

void sha256_begin(Hasher *hasher) { begin(hasher); }

void sha256_add(Hasher *hasher, const void *data, size_t size) { add(hasher, data, size); }

void sha256_end(Hasher *hasher, uint8_t hash[32]) { end(hash, hasher); }

/* The hash of the hash. */
void sha256d_end(Hasher *hasher, uint8_t hash[32])
{
    end(hash, hasher);
    sha256(hash, 32, hash);
}

void sha256(const void *data, size_t size, uint8_t hash[32])
{
    Hasher hasher;
    begin(&hasher);
    add(&hasher, data, size);
    end(hash, &hasher);
}

void sha256d(const void *data, size_t size, uint8_t hash[32])
{
    sha256(data, size, hash);
    sha256(hash, 32, hash);
}

/* RIPEMD-160 of SHA-256: key and script hashes. */
void hash160(const void *data, size_t size, uint8_t hash[20])
{
    Hasher hasher;
    uint8_t inner[32];
    sha256(data, size, inner);
    ripemd_begin(&hasher);
    ripemd_add(&hasher, inner, 32);
    ripemd_end(hash, &hasher);
}
