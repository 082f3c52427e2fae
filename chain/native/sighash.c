/* What signatures sign: the legacy hash, BIP 143 and BIP 341, where all inputs and outputs are signed. */

#include "native.h"

#include <stdlib.h>

enum { BLANK_INPUT = 41, SEQUENCE_SIZE = 4, HASH_TYPE_SIZE = 4 };
enum { STEP = 32 }; /* inputs between two states that are kept of the legacy hash */

void begin_digests(Digests *digests, const Transaction *tx, const SpentOutput *spent)
{
    memset(digests, 0, sizeof *digests);
    digests->tx = tx;
    digests->spent = spent;
}

void free_digests(Digests *digests)
{
    free(digests->legacy);
    free(digests->legacy_states);
}

static void add_u32(Hasher *hasher, uint32_t n)
{
    uint8_t bytes[4];
    write_u32(bytes, n);
    sha256_add(hasher, bytes, 4);
}

/* Single hashes of all outpoints, sequence numbers and outputs, which BIP 143 hashes again. */
static void make_shared(Digests *digests)
{
    if (digests->has_shared) return;
    const Transaction *tx = digests->tx;
    Hasher prevouts, sequences;
    sha256_begin(&prevouts);
    sha256_begin(&sequences);
    for (size_t i = 0; i < tx->input_count; i++) {
        sha256_add(&prevouts, tx->inputs[i].outpoint, 36);
        add_u32(&sequences, tx->inputs[i].sequence);
    }
    sha256_end(&prevouts, digests->prevouts);
    sha256_end(&sequences, digests->sequences);
    sha256(tx->outputs.at, tx->outputs.size, digests->outputs);
    digests->has_shared = true;
}

/* --- legacy -------------------------------------------------------------------------------------------- */

/* Each input signs all of the transaction, with the scripts of all inputs but its own left out: the work is
   quadratic. What stands before an input is a longer and longer beginning of the same bytes, so it is hashed once,
   and the state is kept every so many inputs to go on from. */
static bool make_legacy(Digests *digests)
{
    const Transaction *tx = digests->tx;
    size_t inputs = tx->input_count, blank = inputs * BLANK_INPUT;
    uint8_t *all = malloc(blank + 5 + tx->outputs.size + 4 + HASH_TYPE_SIZE), *at = all;
    Hasher *states = malloc((inputs / STEP + 1) * sizeof *states);
    if (!all || !states) {
        free(all);
        free(states);
        return false;
    }
    digests->legacy = all;
    digests->legacy_states = states;
    for (size_t i = 0; i < inputs; i++, at += BLANK_INPUT) {
        memcpy(at, tx->inputs[i].outpoint, 36);
        at[36] = 0;
        write_u32(at + 37, tx->inputs[i].sequence);
    }
    at += write_size(at, tx->output_count);
    memcpy(at, tx->outputs.at, tx->outputs.size);
    at += tx->outputs.size;
    write_u32(at, tx->locktime);
    write_u32(at + 4, 1); /* SIGHASH_ALL */
    digests->legacy_size = (size_t)(at + 8 - all);

    uint8_t count[5];
    size_t count_size = write_size(count, inputs);
    Hasher hasher;
    sha256_begin(&hasher);
    add_u32(&hasher, tx->version);
    sha256_add(&hasher, count, count_size);
    for (size_t step = 0; step <= inputs / STEP; step++) {
        states[step] = hasher;
        if ((step + 1) * STEP <= inputs) sha256_add(&hasher, all + step * STEP * BLANK_INPUT, STEP * BLANK_INPUT);
    }
    return true;
}

bool legacy_digest(Digests *digests, size_t index, Bytes code, uint8_t digest[32])
{
    if (!digests->legacy && !make_legacy(digests)) return false;
    const uint8_t *all = digests->legacy;
    size_t step = index / STEP, own = index * BLANK_INPUT, from = step * STEP * BLANK_INPUT;
    uint8_t size[5];
    size_t size_size = write_size(size, code.size), behind = own + BLANK_INPUT - SEQUENCE_SIZE;
    Hasher hasher = digests->legacy_states[step];
    sha256_add(&hasher, all + from, own + 36 - from);
    sha256_add(&hasher, size, size_size);
    sha256_add(&hasher, code.at, code.size);
    sha256_add(&hasher, all + behind, digests->legacy_size - behind);
    sha256d_end(&hasher, digest);
    return true;
}

/* --- BIP 143 ------------------------------------------------------------------------------------------- */

static void make_v0(Digests *digests)
{
    uint8_t hash[32];
    make_shared(digests);
    sha256_begin(&digests->v0_head);
    add_u32(&digests->v0_head, digests->tx->version);
    sha256(digests->prevouts, 32, hash);
    sha256_add(&digests->v0_head, hash, 32);
    sha256(digests->sequences, 32, hash);
    sha256_add(&digests->v0_head, hash, 32);
    sha256(digests->outputs, 32, digests->v0_tail);
    write_u32(digests->v0_tail + 32, digests->tx->locktime);
    write_u32(digests->v0_tail + 36, 1); /* SIGHASH_ALL */
    digests->has_v0 = true;
}

void v0_digest(Digests *digests, size_t index, Bytes code, uint8_t digest[32])
{
    if (!digests->has_v0) make_v0(digests);
    uint8_t size[5], numbers[12];
    size_t size_size = write_size(size, code.size);
    write_u64(numbers, (uint64_t)digests->spent[index].value);
    write_u32(numbers + 8, digests->tx->inputs[index].sequence);
    Hasher hasher = digests->v0_head;
    sha256_add(&hasher, digests->tx->inputs[index].outpoint, 36);
    sha256_add(&hasher, size, size_size);
    sha256_add(&hasher, code.at, code.size);
    sha256_add(&hasher, numbers, sizeof numbers);
    sha256_add(&hasher, digests->v0_tail, sizeof digests->v0_tail);
    sha256d_end(&hasher, digest);
}

/* --- BIP 341 ------------------------------------------------------------------------------------------- */

static void make_taproot(Digests *digests, int hash_type)
{
    const Transaction *tx = digests->tx;
    Hasher amounts, scripts, *head = &digests->taproot_head[hash_type];
    uint8_t hash[32], bytes[8], epoch_and_type[2] = {0, (uint8_t)hash_type};
    make_shared(digests);
    *head = TAP_SIGHASH;
    sha256_add(head, epoch_and_type, 2);
    add_u32(head, tx->version);
    add_u32(head, tx->locktime);
    sha256_add(head, digests->prevouts, 32);
    sha256_begin(&amounts);
    sha256_begin(&scripts);
    for (size_t i = 0; i < tx->input_count; i++) {
        const SpentOutput *spent = &digests->spent[i];
        write_u64(bytes, (uint64_t)spent->value);
        sha256_add(&amounts, bytes, 8);
        sha256_add(&scripts, bytes, write_size(bytes, spent->script.size));
        sha256_add(&scripts, spent->script.at, spent->script.size);
    }
    sha256_end(&amounts, hash);
    sha256_add(head, hash, 32);
    sha256_end(&scripts, hash);
    sha256_add(head, hash, 32);
    sha256_add(head, digests->sequences, 32);
    sha256_add(head, digests->outputs, 32);
    digests->has_taproot[hash_type] = true;
}

void taproot_digest(Digests *digests, size_t index, int hash_type, const uint8_t *leaf, uint8_t digest[32])
{
    static const uint8_t key_version_and_no_separator[5] = {0, 0xff, 0xff, 0xff, 0xff};
    uint8_t spend_type = leaf ? 2 : 0;
    if (!digests->has_taproot[hash_type]) make_taproot(digests, hash_type);
    Hasher hasher = digests->taproot_head[hash_type];
    sha256_add(&hasher, &spend_type, 1);
    add_u32(&hasher, (uint32_t)index);
    if (leaf) {
        sha256_add(&hasher, leaf, 32);
        sha256_add(&hasher, key_version_and_no_separator, 5);
    }
    sha256_end(&hasher, digest);
}
