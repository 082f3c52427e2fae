/* Signature checks by libsecp256k1, whose functions chain/script/secp.py hands in. */

#include "native.h"

typedef struct {
    uint64_t room[8];
} Opaque; /* a public key, an x-only one or an ECDSA signature: 64 bytes each by the library's contract */

static const void *context;
static int (*pubkey_parse)(const void *, void *, const uint8_t *, size_t);
static int (*xonly_parse)(const void *, void *, const uint8_t *);
static int (*sig_parse_der)(const void *, Opaque *, const uint8_t *, size_t);
static int (*sig_normalize)(const void *, Opaque *, const Opaque *);
static int (*ecdsa_verify)(const void *, const Opaque *, const uint8_t *, const void *);
static int (*schnorr_verify)(const void *, const uint8_t *, const uint8_t *, size_t, const void *);
static int (*pubkey_create)(const void *, Opaque *, const uint8_t *);
static int (*pubkey_combine)(const void *, Opaque *, const void *const *, size_t);
static int (*pubkey_serialize)(const void *, uint8_t *, size_t *, const Opaque *, unsigned int);

void bind_curve(void *const addresses[CURVE_ADDRESSES])
{
    context = addresses[CONTEXT];
    memcpy(&pubkey_parse, &addresses[PUBKEY_PARSE], sizeof(void *));
    memcpy(&xonly_parse, &addresses[XONLY_PARSE], sizeof(void *));
    memcpy(&sig_parse_der, &addresses[SIG_PARSE_DER], sizeof(void *));
    memcpy(&sig_normalize, &addresses[SIG_NORMALIZE], sizeof(void *));
    memcpy(&ecdsa_verify, &addresses[ECDSA_VERIFY], sizeof(void *));
    memcpy(&schnorr_verify, &addresses[SCHNORR_VERIFY], sizeof(void *));
    memcpy(&pubkey_create, &addresses[PUBKEY_CREATE], sizeof(void *));
    memcpy(&pubkey_combine, &addresses[PUBKEY_COMBINE], sizeof(void *));
    memcpy(&pubkey_serialize, &addresses[PUBKEY_SERIALIZE], sizeof(void *));
}

bool curve_is_bound(void) { return context != NULL; }

/* The decoded key, of 32 bytes (X only), 33 or 65; NULL if it is no point of the curve. Good until the next call. */
static const void *decode(Curve *curve, const uint8_t *key, size_t size)
{
    KnownKey *known = &curve->keys[key[size - 1] % KNOWN_KEYS];
    if (known->size == size && memcmp(known->key, key, size) == 0) return known->decoded;
    known->size = 0;
    int good = size == 32 ? xonly_parse(context, known->decoded, key)
                          : pubkey_parse(context, known->decoded, key, size);
    if (!good) return NULL;
    memcpy(known->key, key, size);
    known->size = (uint8_t)size;
    return known->decoded;
}

/* sig: strict DER with its hash type behind it; what C parses and finds good is strict. */
bool verify_ecdsa(Curve *curve, Bytes key, Bytes sig, const uint8_t digest[32], bool high_s)
{
    Opaque parsed;
    if ((key.size != 33 && key.size != 65) || sig.size < 2) return false;
    const void *decoded = decode(curve, key.at, key.size);
    if (!decoded || !sig_parse_der(context, &parsed, sig.at, sig.size - 1)) return false;
    if (ecdsa_verify(context, &parsed, digest, decoded)) return true;
    return high_s && sig_normalize(context, &parsed, &parsed) && ecdsa_verify(context, &parsed, digest, decoded);
}

bool verify_schnorr(Curve *curve, const uint8_t key[32], const uint8_t sig[64], const uint8_t digest[32])
{
    const void *decoded = decode(curve, key, 32);
    return decoded && schnorr_verify(context, sig, digest, 32, decoded);
}

/* Whether output, with the parity of its Y, is the internal key plus tweak times the generator. That product comes
   from the table that keys are made with, which is a fifth faster than the library's own check of a tweak. */
bool verify_tweak(Curve *curve, const uint8_t internal[32], const uint8_t tweak[32], const uint8_t output[32],
                  int parity)
{
    enum { COMPRESSED = 258 };
    uint8_t even[33] = {2}, sum[33];
    size_t size = sizeof sum;
    Opaque product, point;
    memcpy(even + 1, internal, 32);
    const void *both[2] = {decode(curve, even, sizeof even), &product};
    return both[0] && pubkey_create(context, &product, tweak) && pubkey_combine(context, &point, both, 2) &&
           pubkey_serialize(context, sum, &size, &point, COMPRESSED) && sum[0] == 2 + parity &&
           memcmp(sum + 1, output, 32) == 0;
}
