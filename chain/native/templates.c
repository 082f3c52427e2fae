/* The forms that chain/script/templates.py and templates_taproot.py know, with SIGHASH_ALL and taproot's DEFAULT:
   straight from the bytes to the signature checks. A template asks for what the strictest flags ask, whatever the
   flags, and only ever says yes; where anything is unusual Python decides. */

#include "native.h"

enum { SIGHASH_DEFAULT = 0, SIGHASH_ALL = 1 };
enum { LEAST_SIG = 26, MOST_SIG = 73 }; /* a shorter one could stand in a script and be cut out of what it signs */
enum { MAX_SCRIPT_ELEMENT_SIZE = 520 };
enum { MOST_KEYS = 16, MOST_PUSHES = MOST_KEYS + 1 };

/* An input under proof. */
typedef struct {
    Digests *digests;
    const Input *input;
    size_t index;
    uint32_t flags;
    Curve *curve;
} Proof;

static bool starts_with(Bytes bytes, const char *start, size_t size)
{
    return bytes.size >= size && memcmp(bytes.at, start, size) == 0;
}

static Bytes slice(Bytes bytes, size_t from, size_t to)
{
    return (Bytes){bytes.at + from, to - from};
}

/* By its size and its last byte, which is the hash type. */
static bool looks_like_ecdsa(Bytes sig)
{
    return LEAST_SIG <= sig.size && sig.size <= MOST_SIG && sig.at[sig.size - 1] == SIGHASH_ALL;
}

static bool proves(const Proof *proof, Bytes key, Bytes sig, const uint8_t digest[32])
{
    return verify_ecdsa(proof->curve, key, sig, digest, !(proof->flags & LOW_S));
}

/* --- one key ------------------------------------------------------------------------------------------- */

/* P2WPKH, bare or in P2SH: a signature and a compressed key. */
static bool prove_key_hash_v0(const Proof *proof, const uint8_t program[20])
{
    const Input *input = proof->input;
    uint8_t hash[32], code[25] = {0x76, 0xa9, 0x14, [23] = 0x88, [24] = OP_CHECKSIG};
    if (input->witness_size != 2) return false;
    Bytes sig = input->witness[0], key = input->witness[1];
    if (key.size != 33 || !looks_like_ecdsa(sig)) return false;
    hash160(key.at, key.size, hash);
    if (memcmp(hash, program, 20) != 0) return false;
    memcpy(code + 3, program, 20);
    v0_digest(proof->digests, proof->index, (Bytes){code, sizeof code}, hash);
    return proves(proof, key, sig, hash);
}

/* P2PKH: a push of a signature, a push of a key, no witness. */
static bool prove_p2pkh(const Proof *proof, Bytes script)
{
    Bytes script_sig = proof->input->script_sig;
    uint8_t hash[32];
    if (proof->input->witness_size || script_sig.size < LEAST_SIG) return false;
    size_t end = 1 + (size_t)script_sig.at[0];
    if (end > MOST_SIG + 1 || end + 1 >= script_sig.size) return false;
    Bytes sig = slice(script_sig, 1, end), key = slice(script_sig, end + 1, script_sig.size);
    if (script_sig.at[end] != key.size || !looks_like_ecdsa(sig)) return false;
    if (key.size != 33 && (key.size != 65 || key.at[0] != 4)) return false;
    hash160(key.at, key.size, hash);
    if (memcmp(hash, script.at + 3, 20) != 0) return false;
    return legacy_digest(proof->digests, proof->index, script, hash) && proves(proof, key, sig, hash);
}

/* P2PK: a push of a signature, no witness. No signature looks like the key in the script. */
static bool prove_p2pk(const Proof *proof, Bytes script)
{
    Bytes script_sig = proof->input->script_sig, key = slice(script, 1, script.size - 1);
    uint8_t digest[32];
    if (proof->input->witness_size || script_sig.size < LEAST_SIG || script_sig.at[0] != script_sig.size - 1)
        return false;
    Bytes sig = slice(script_sig, 1, script_sig.size);
    if (!looks_like_ecdsa(sig) || !(key.at[0] == 2 || key.at[0] == 3 || key.at[0] == 4)) return false;
    return legacy_digest(proof->digests, proof->index, script, digest) && proves(proof, key, sig, digest);
}

/* --- several keys -------------------------------------------------------------------------------------- */

/* The keys of m <key>... n OP_CHECKMULTISIG, m and n up to 16, if m is required; their number, or 0. */
static size_t multisig_keys(Bytes script, size_t required, bool compressed, Bytes keys[MOST_KEYS])
{
    size_t count = 0, at = 1;
    if (script.size < 37 || script.at[script.size - 1] != OP_CHECKMULTISIG) return 0;
    if (!required || required > MOST_KEYS || script.at[0] != OP_1 - 1 + required) return 0;
    size_t end = script.size - 2;
    while (at < end) {
        size_t size = script.at[at];
        if (count == MOST_KEYS || size > end - at - 1 || (size != 33 && (compressed || size != 65))) return 0;
        uint8_t first = script.at[at + 1];
        if (size == 33 ? first != 2 && first != 3 : first != 4) return 0;
        keys[count++] = slice(script, at + 1, at + 1 + size);
        at += 1 + size;
    }
    return required <= count && script.at[end] == OP_1 - 1 + count ? count : 0;
}

/* Whether each signature has its key, in the same order. From the first on, where the interpreter begins with the
   last: a match there is, or is not, either way, and who signs takes the first keys that he has. */
static bool match(const Proof *proof, const Bytes *sigs, size_t sig_count, const Bytes *keys, size_t key_count,
                  const uint8_t digest[32])
{
    size_t at = 0, spare = key_count - sig_count;
    for (size_t i = 0; i < sig_count; i++, at++)
        while (!proves(proof, keys[at], sigs[i], digest)) {
            if (!spare--) return false;
            at++;
        }
    return true;
}

static bool all_look_like_ecdsa(const Bytes *sigs, size_t count)
{
    while (count--)
        if (!looks_like_ecdsa(sigs[count])) return false;
    return true;
}

/* P2WSH of a multisig, bare or in P2SH: an empty item, the signatures, the script. */
static bool prove_multisig_v0(const Proof *proof, const uint8_t program[32])
{
    const Input *input = proof->input;
    Bytes keys[MOST_KEYS];
    uint8_t hash[32];
    if (input->witness_size < 3 || input->witness[0].size) return false;
    size_t sig_count = input->witness_size - 2;
    Bytes script = input->witness[input->witness_size - 1];
    size_t key_count = multisig_keys(script, sig_count, true, keys);
    if (!key_count || !all_look_like_ecdsa(input->witness + 1, sig_count)) return false;
    sha256(script.at, script.size, hash);
    if (memcmp(hash, program, 32) != 0) return false;
    v0_digest(proof->digests, proof->index, script, hash);
    return match(proof, input->witness + 1, sig_count, keys, key_count, hash);
}

/* What the script of an input without witness pushes after OP_0, shortest pushes only; their number, or 0. */
static size_t pushes_behind_zero(const Input *input, Bytes pushes[MOST_PUSHES])
{
    Bytes script = input->script_sig;
    size_t count = 0, at = 1;
    if (input->witness_size || !script.size || script.at[0] != OP_0) return 0;
    while (at < script.size) {
        size_t size = script.at[at++], left = script.size - at;
        if (size == OP_PUSHDATA1) {
            if (left < 1 || script.at[at] < OP_PUSHDATA1) return 0;
            size = script.at[at];
            at += 1;
        } else if (size == OP_PUSHDATA2) {
            if (left < 2 || !script.at[at + 1]) return 0;
            size = script.at[at] | (size_t)script.at[at + 1] << 8;
            at += 2;
        } else if (size < 2 || size > OP_PUSHDATA2) { /* one byte could be a number, which is pushed otherwise */
            return 0;
        }
        if (count == MOST_PUSHES || size > script.size - at) return 0;
        pushes[count++] = slice(script, at, at + size);
        at += size;
    }
    return count;
}

/* A multisig as it is: OP_0, pushes of the signatures, no witness. */
static bool prove_bare_multisig(const Proof *proof, Bytes script)
{
    Bytes pushes[MOST_PUSHES], keys[MOST_KEYS];
    uint8_t digest[32];
    size_t sig_count = pushes_behind_zero(proof->input, pushes);
    size_t key_count = multisig_keys(script, sig_count, false, keys);
    return key_count && all_look_like_ecdsa(pushes, sig_count) &&
           legacy_digest(proof->digests, proof->index, script, digest) &&
           match(proof, pushes, sig_count, keys, key_count, digest);
}

/* P2SH of a multisig: OP_0, pushes of the signatures and of the script, no witness. */
static bool prove_p2sh_multisig(const Proof *proof, const uint8_t script_hash[20])
{
    Bytes pushes[MOST_PUSHES], keys[MOST_KEYS];
    uint8_t hash[32];
    size_t count = pushes_behind_zero(proof->input, pushes);
    if (count < 2) return false;
    Bytes script = pushes[--count];
    size_t key_count = multisig_keys(script, count, false, keys);
    if (!key_count || script.size > MAX_SCRIPT_ELEMENT_SIZE || !all_look_like_ecdsa(pushes, count)) return false;
    hash160(script.at, script.size, hash);
    return memcmp(hash, script_hash, 20) == 0 && legacy_digest(proof->digests, proof->index, script, hash) &&
           match(proof, pushes, count, keys, key_count, hash);
}

static bool prove_p2sh(const Proof *proof, const uint8_t script_hash[20])
{
    Bytes script_sig = proof->input->script_sig;
    bool key_hash = script_sig.size == 23 && starts_with(script_sig, "\x16\x00\x14", 3);
    bool script_v0 = script_sig.size == 35 && starts_with(script_sig, "\x22\x00\x20", 3);
    uint8_t hash[20];
    if (!(proof->flags & P2SH)) return false;
    if (!key_hash && !script_v0) return prove_p2sh_multisig(proof, script_hash);
    if (!(proof->flags & WITNESS)) return false;
    hash160(script_sig.at + 1, script_sig.size - 1, hash);
    if (memcmp(hash, script_hash, 20) != 0) return false;
    return key_hash ? prove_key_hash_v0(proof, script_sig.at + 3) : prove_multisig_v0(proof, script_sig.at + 3);
}

/* --- taproot ------------------------------------------------------------------------------------------- */

enum { CONTROL_BASE_SIZE = 33, CONTROL_NODE_SIZE = 32, CONTROL_MAX_NODES = 128, LEAF_MASK = 0xfe, LEAF_TAPSCRIPT = 0xc0 };
enum { KEY_PUSH = 32, KEY_AND_OP = 34, MOST_SCHNORR = 100 };

/* The hash type of a Schnorr signature that signs all inputs and outputs, or -1. */
static int schnorr_hash_type(Bytes sig)
{
    if (sig.size == 64) return SIGHASH_DEFAULT;
    return sig.size == 65 && sig.at[64] == SIGHASH_ALL ? SIGHASH_ALL : -1;
}

static bool proves_schnorr(const Proof *proof, const uint8_t key[32], Bytes sig, const uint8_t *leaf)
{
    uint8_t digest[32];
    int hash_type = schnorr_hash_type(sig);
    if (hash_type < 0) return false;
    taproot_digest(proof->digests, proof->index, hash_type, leaf, digest);
    return verify_schnorr(proof->curve, key, sig.at, digest);
}

static void leaf_hash_of(Bytes script, uint8_t hash[32])
{
    uint8_t head[6] = {LEAF_TAPSCRIPT};
    size_t head_size = 1 + write_size(head + 1, script.size);
    Hasher hasher = TAP_LEAF;
    sha256_add(&hasher, head, head_size);
    sha256_add(&hasher, script.at, script.size);
    sha256_end(&hasher, hash);
}

/* Whether the output key is the control block's internal key, tweaked by a tree that holds leaf. */
static bool commits_to(const Proof *proof, const uint8_t program[32], Bytes control, const uint8_t leaf[32])
{
    uint8_t node[32];
    const uint8_t *internal = control.at + 1;
    memcpy(node, leaf, 32);
    for (size_t at = CONTROL_BASE_SIZE; at < control.size; at += CONTROL_NODE_SIZE) {
        const uint8_t *other = control.at + at;
        bool first = memcmp(node, other, 32) < 0;
        Hasher hasher = TAP_BRANCH;
        sha256_add(&hasher, first ? node : other, 32);
        sha256_add(&hasher, first ? other : node, 32);
        sha256_end(&hasher, node);
    }
    Hasher hasher = TAP_TWEAK;
    sha256_add(&hasher, internal, 32);
    sha256_add(&hasher, node, 32);
    sha256_end(&hasher, node);
    return verify_tweak(proof->curve, internal, node, program, control.at[0] & 1);
}

/* <key> CHECKSIG (<key> CHECKSIGADD)... <m> NUMEQUAL: the signature of the first key lies on top; who does not sign
   leaves an empty item. */
static bool prove_checksigadd(const Proof *proof, Bytes script, const Bytes *items, size_t count, const uint8_t *leaf)
{
    size_t end = KEY_AND_OP * count, signers = 0;
    if (count > MOST_SCHNORR || script.size != end + 2 || script.at[end + 1] != OP_NUMEQUAL) return false;
    for (size_t n = 0; n < count; n++) {
        const uint8_t *part = script.at + KEY_AND_OP * n;
        if (part[0] != KEY_PUSH || part[33] != (n ? OP_CHECKSIGADD : OP_CHECKSIG)) return false;
        signers += items[count - 1 - n].size != 0;
    }
    if (!signers || signers > 16 || script.at[end] != OP_1 - 1 + signers) return false;
    for (size_t n = 0; n < count; n++) {
        Bytes sig = items[count - 1 - n];
        if (sig.size && !proves_schnorr(proof, script.at + KEY_AND_OP * n + 1, sig, leaf)) return false;
    }
    return true;
}

/* The number that a script pushes at 34 with an opcode behind it and nothing else; -1 if none that is positive,
   pushed shortest and of at most five bytes. */
static int64_t lock_number(Bytes script)
{
    if (script.size == 36) return OP_1 <= script.at[34] && script.at[34] <= OP_16 ? script.at[34] - OP_1 + 1 : -1;
    if (script.size < 37 || script.size > 41 || script.at[34] != script.size - 36) return -1;
    const uint8_t *data = script.at + 35;
    size_t size = script.size - 36;
    int64_t number = 0;
    for (size_t i = 0; i < size; i++) number |= (int64_t)data[i] << 8 * i;
    bool negative = data[size - 1] & 0x80, padded = !data[size - 1] && (size == 1 || !(data[size - 2] & 0x80));
    return negative || padded || number <= 16 ? -1 : number;
}

/* BIP 65 and BIP 112: whether the lock behind <key> CHECKSIGVERIFY has passed. */
static bool lock_passes(const Proof *proof, Bytes script)
{
    const int64_t threshold = 500000000; /* of lock times: below it blocks, from it on seconds */
    const uint32_t final = 0xffffffff, disabled = 1u << 31, by_time = 1u << 22, mask = by_time | 0xffff;
    const Transaction *tx = proof->digests->tx;
    uint32_t sequence = proof->input->sequence;
    int64_t number = lock_number(script);
    if (number < 0) return false;
    switch (script.at[script.size - 1]) {
    case OP_CHECKLOCKTIMEVERIFY:
        return (tx->locktime < threshold) == (number < threshold) && number <= tx->locktime && sequence != final;
    case OP_CHECKSEQUENCEVERIFY: {
        if (number >= disabled || tx->version < 2 || sequence & disabled) return false;
        uint32_t wanted = (uint32_t)number & mask, actual = sequence & mask;
        return (actual < by_time) == (wanted < by_time) && wanted <= actual;
    }
    default:
        return false;
    }
}

/* The script paths that wallets make. The budget of signatures (BIP 342) is never short here: each has more bytes
   than it costs. */
static bool prove_tapscript(const Proof *proof, Bytes script, const Bytes *items, size_t count, const uint8_t *leaf)
{
    if (script.size < KEY_AND_OP || !count) return false;
    if (script.at[0] == KEY_PUSH) {
        const uint8_t *key = script.at + 1;
        if (script.at[33] == OP_CHECKSIG)
            return script.size == KEY_AND_OP ? count == 1 && proves_schnorr(proof, key, items[0], leaf)
                                             : prove_checksigadd(proof, script, items, count, leaf);
        return script.at[33] == OP_CHECKSIGVERIFY && count == 1 && lock_passes(proof, script) &&
               proves_schnorr(proof, key, items[0], leaf);
    }
    if (script.size == 73 && count == 2 && starts_with(script, "\x82\x01\x20\x88\xa8\x20", 6) &&
        memcmp(script.at + 38, "\x88\x20", 2) == 0 && script.at[72] == OP_CHECKSIG && items[1].size == 32) {
        uint8_t hash[32];
        sha256(items[1].at, 32, hash);
        return memcmp(hash, script.at + 6, 32) == 0 && proves_schnorr(proof, script.at + 40, items[0], leaf);
    }
    return false;
}

/* By its key, or by a script; without annex, which would stand in the place of the control block. */
static bool prove_taproot(const Proof *proof, const uint8_t program[32])
{
    const Bytes *stack = proof->input->witness;
    size_t size = proof->input->witness_size;
    uint8_t leaf[32];
    if (size == 1) return proves_schnorr(proof, program, stack[0], NULL);
    if (size < 3) return false;
    Bytes control = stack[size - 1], script = stack[size - 2];
    if (control.size < CONTROL_BASE_SIZE || (control.size - CONTROL_BASE_SIZE) % CONTROL_NODE_SIZE ||
        control.size > CONTROL_BASE_SIZE + CONTROL_NODE_SIZE * CONTROL_MAX_NODES ||
        (control.at[0] & LEAF_MASK) != LEAF_TAPSCRIPT)
        return false;
    leaf_hash_of(script, leaf);
    return prove_tapscript(proof, script, stack, size - 2, leaf) && commits_to(proof, program, control, leaf);
}

/* --- which --------------------------------------------------------------------------------------------- */

bool prove_input(Digests *digests, size_t index, uint32_t flags, Curve *curve)
{
    const Input *input = &digests->tx->inputs[index];
    const Proof proof = {digests, input, index, flags, curve};
    Bytes script = digests->spent[index].script;
    bool witness = flags & P2SH && flags & WITNESS && !input->script_sig.size;
    switch (script.size) {
    case 22:
        if (starts_with(script, "\x00\x14", 2)) return witness && prove_key_hash_v0(&proof, script.at + 2);
        break;
    case 34:
        if (starts_with(script, "\x51\x20", 2)) return witness && flags & TAPROOT && prove_taproot(&proof, script.at + 2);
        if (starts_with(script, "\x00\x20", 2)) return witness && prove_multisig_v0(&proof, script.at + 2);
        break;
    case 25:
        if (starts_with(script, "\x76\xa9\x14", 3) && script.at[23] == 0x88 && script.at[24] == OP_CHECKSIG)
            return prove_p2pkh(&proof, script);
        break;
    case 23:
        if (starts_with(script, "\xa9\x14", 2) && script.at[22] == OP_EQUAL) return prove_p2sh(&proof, script.at + 2);
        break;
    case 35:
    case 67:
        if (script.at[0] == script.size - 2 && script.at[script.size - 1] == OP_CHECKSIG)
            return prove_p2pk(&proof, script);
        break;
    }
    return script.size > 36 && script.at[script.size - 1] == OP_CHECKMULTISIG && prove_bare_multisig(&proof, script);
}
