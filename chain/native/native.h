/* What the compiled twin of chain/script/templates.py is made of. It proves inputs of common forms from the bytes
   of a transaction, without the interpreter's lock; what it does not prove, Python decides.

   Nothing here computes a hash or a point: that is OpenSSL's and libsecp256k1's, whose functions are bound at
   run time. Hashes are 32 bytes in internal order. Everything read was sent by somebody else: each length is
   looked at before what it counts. */

#ifndef PYBITCOIND_NATIVE_H
#define PYBITCOIND_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of chain/consensus/limits.py. */
enum { COINBASE_MATURITY = 100, MAX_BLOCK_SIGOPS_COST = 80000, WITNESS_SCALE_FACTOR = 4 };
static const int64_t MAX_MONEY = 21000000 * INT64_C(100000000); /* satoshis */

/* The bits of chain/script/flags.py that matter here. */
enum { P2SH = 1 << 0, LOW_S = 1 << 3, WITNESS = 1 << 11, TAPROOT = 1 << 17 };

/* Of chain/script/opcodes.py. */
enum {
    OP_0 = 0x00, OP_PUSHDATA1 = 0x4c, OP_PUSHDATA2 = 0x4d, OP_PUSHDATA4 = 0x4e, OP_1 = 0x51, OP_16 = 0x60,
    OP_RETURN = 0x6a, OP_EQUAL = 0x87, OP_NUMEQUAL = 0x9c, OP_CHECKSIG = 0xac, OP_CHECKSIGVERIFY = 0xad,
    OP_CHECKMULTISIG = 0xae, OP_CHECKMULTISIGVERIFY = 0xaf, OP_CHECKLOCKTIMEVERIFY = 0xb1,
    OP_CHECKSEQUENCEVERIFY = 0xb2, OP_CHECKSIGADD = 0xba
};

/* A piece of somebody else's bytes. */
typedef struct {
    const uint8_t *at;
    size_t size;
} Bytes;

static inline uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void write_u32(uint8_t *at, uint32_t n)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(n >> 8 * i);
}

static inline void write_u64(uint8_t *at, uint64_t n)
{
    for (int i = 0; i < 8; i++) at[i] = (uint8_t)(n >> 8 * i);
}

/* A length as a compact size; returns its bytes, 1, 3 or 5. */
static inline size_t write_size(uint8_t *at, size_t n)
{
    if (n < 253) {
        at[0] = (uint8_t)n;
        return 1;
    }
    if (n <= 0xffff) {
        at[0] = 253;
        at[1] = (uint8_t)n;
        at[2] = (uint8_t)(n >> 8);
        return 3;
    }
    at[0] = 254;
    write_u32(at + 1, (uint32_t)n);
    return 5;
}

/* --- hashing.c ----------------------------------------------------------------------------------------- */

/* SHA-256 on its way; may be copied to go on twice. Has room for OpenSSL's SHA256_CTX and RIPEMD160_CTX. */
typedef struct {
    uint64_t room[16];
} Hasher;

bool bind_hashing(const char *library, const char **missing);
bool hashing_is_bound(void);
void sha256_begin(Hasher *hasher);
void sha256_add(Hasher *hasher, const void *data, size_t size);
void sha256_end(Hasher *hasher, uint8_t hash[32]);
void sha256d_end(Hasher *hasher, uint8_t hash[32]);
void sha256(const void *data, size_t size, uint8_t hash[32]);
void sha256d(const void *data, size_t size, uint8_t hash[32]);
void hash160(const void *data, size_t size, uint8_t hash[20]);

/* Hashers fed with the tags of BIP 340 and 341, to be copied. */
extern Hasher TAP_SIGHASH, TAP_LEAF, TAP_BRANCH, TAP_TWEAK;

/* --- curve.c ------------------------------------------------------------------------------------------- */

/* Addresses in libsecp256k1, in this order. CONTEXT can make public keys. */
enum { CONTEXT, PUBKEY_PARSE, XONLY_PARSE, SIG_PARSE_DER, SIG_NORMALIZE, ECDSA_VERIFY, SCHNORR_VERIFY, PUBKEY_CREATE,
       PUBKEY_COMBINE, PUBKEY_SERIALIZE, CURVE_ADDRESSES };

void bind_curve(void *const addresses[CURVE_ADDRESSES]);
bool curve_is_bound(void);

/* Keys decoded of late: to decode one is a seventh of a check, and who spends often does it with few keys. */
enum { KNOWN_KEYS = 256 };

typedef struct {
    uint8_t size; /* 0: nothing here; 32: X only */
    uint8_t key[65];
    uint64_t decoded[8];
} KnownKey;

typedef struct {
    KnownKey keys[KNOWN_KEYS];
} Curve;

bool verify_ecdsa(Curve *curve, Bytes key, Bytes sig, const uint8_t digest[32], bool high_s);
bool verify_schnorr(Curve *curve, const uint8_t key[32], const uint8_t sig[64], const uint8_t digest[32]);
bool verify_tweak(Curve *curve, const uint8_t internal[32], const uint8_t tweak[32], const uint8_t output[32],
                  int parity);

/* --- transaction.c ------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *outpoint; /* 36 bytes: txid and vout */
    Bytes script_sig;
    uint32_t sequence;
    const Bytes *witness;
    size_t witness_size;
} Input;

typedef struct {
    uint32_t version, locktime;
    size_t input_count, output_count;
    Input *inputs;
    Bytes raw, outputs; /* outputs: without their count */
    Bytes *items; /* of all witnesses; NULL where there are none */
    const uint8_t *inputs_at, *witnesses_at; /* witnesses_at: NULL where there are none */
} Transaction;

typedef struct {
    int64_t value; /* satoshis */
    Bytes script;
} SpentOutput;

/* The transaction that buffer begins with; raw is what it takes of it. False: there is none, or no memory, or it
   is an odd one, which Python is to read. */
bool read_transaction(Transaction *tx, Bytes buffer, bool allow_witness);
void free_transaction(Transaction *tx);

/* The value and the script of an output of a transaction that was read; returns where the next one is. */
const uint8_t *read_output(const uint8_t *at, int64_t *value, Bytes *script);

/* No coinbase, and check_transaction of chain/consensus/transactions.py takes it. False decides nothing. */
bool is_sound(const Transaction *tx);

/* wtxid: the txid where there is no witness. */
void hash_transaction(const Transaction *tx, uint8_t txid[32], uint8_t wtxid[32]);

/* --- sigops.c ------------------------------------------------------------------------------------------ */

/* In the transaction's own scripts, as counted before BIP 16: a multisig counts 20. */
size_t count_sigops(const Transaction *tx);

/* What spending an output with script adds to the cost: operations in its witness, and in what P2SH runs. */
size_t input_sigops(const Input *input, Bytes script, uint32_t flags);

/* --- sighash.c ----------------------------------------------------------------------------------------- */

/* What the inputs of a transaction sign together, each part made when it is first needed. */
typedef struct {
    const Transaction *tx;
    const SpentOutput *spent;
    bool has_shared, has_v0, has_taproot[2];
    uint8_t prevouts[32], sequences[32], outputs[32];
    Hasher v0_head;
    uint8_t v0_tail[40];
    Hasher taproot_head[2]; /* by hash type: DEFAULT, ALL */
    uint8_t *legacy; /* all of what is signed, with empty scripts */
    size_t legacy_size;
    Hasher *legacy_states;
} Digests;

void begin_digests(Digests *digests, const Transaction *tx, const SpentOutput *spent);
void free_digests(Digests *digests);

/* What a signature with SIGHASH_ALL signs, of old. code: the script code, without separators. False: no memory. */
bool legacy_digest(Digests *digests, size_t index, Bytes code, uint8_t digest[32]);

/* The same in a version 0 witness (BIP 143). */
void v0_digest(Digests *digests, size_t index, Bytes code, uint8_t digest[32]);

/* What a Schnorr signature signs (BIP 341). hash_type: DEFAULT or ALL. leaf: of BIP 342, or NULL. */
void taproot_digest(Digests *digests, size_t index, int hash_type, const uint8_t *leaf, uint8_t digest[32]);

/* --- templates.c --------------------------------------------------------------------------------------- */

/* Whether input index is of a common form and satisfies the output that it spends. False decides nothing. */
bool prove_input(Digests *digests, size_t index, uint32_t flags, Curve *curve);

#endif
