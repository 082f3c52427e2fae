/* Reads a transaction (BIP 144) in place: nothing is copied, what is kept points into the bytes. */

#include "native.h"

#include <stdlib.h>

enum { MAX_SIZE = 0x02000000 }; /* the most that a compact size may count */
enum { MAX_BLOCK_WEIGHT = 4000000 };

typedef struct {
    const uint8_t *at, *end;
} Reader;

static size_t left(const Reader *reader) { return (size_t)(reader->end - reader->at); }

static bool take(Reader *reader, size_t size, const uint8_t **piece)
{
    if (size > left(reader)) return false;
    *piece = reader->at;
    reader->at += size;
    return true;
}

/* A compact size, written shortest. What it counts has least bytes each, which must be there. */
static bool take_count(Reader *reader, size_t least, size_t *count)
{
    const uint8_t *at;
    if (!take(reader, 1, &at)) return false;
    size_t n = *at;
    if (n == 253) {
        if (!take(reader, 2, &at)) return false;
        n = at[0] | (size_t)at[1] << 8;
        if (n < 253) return false;
    } else if (n == 254) {
        if (!take(reader, 4, &at)) return false;
        n = read_u32(at);
        if (n <= 0xffff) return false;
    } else if (n == 255) {
        return false; /* counts more than there can be */
    }
    *count = n;
    return n <= MAX_SIZE && n <= left(reader) / least;
}

static bool take_string(Reader *reader, Bytes *string)
{
    return take_count(reader, 1, &string->size) && take(reader, string->size, &string->at);
}

static bool take_inputs(Reader *reader, Transaction *tx)
{
    const uint8_t *sequence;
    if (!take_count(reader, 41, &tx->input_count) || !tx->input_count) return false;
    tx->inputs_at = reader->at;
    tx->inputs = calloc(tx->input_count, sizeof *tx->inputs);
    if (!tx->inputs) return false;
    for (size_t i = 0; i < tx->input_count; i++) {
        Input *input = &tx->inputs[i];
        if (!take(reader, 36, &input->outpoint) || !take_string(reader, &input->script_sig) ||
            !take(reader, 4, &sequence))
            return false;
        input->sequence = read_u32(sequence);
    }
    return true;
}

static bool take_outputs(Reader *reader, Transaction *tx)
{
    const uint8_t *value;
    Bytes script;
    if (!take_count(reader, 9, &tx->output_count)) return false;
    tx->outputs.at = reader->at;
    for (size_t i = 0; i < tx->output_count; i++)
        if (!take(reader, 8, &value) || !take_string(reader, &script)) return false;
    tx->outputs.size = (size_t)(reader->at - tx->outputs.at);
    return true;
}

/* Twice: the first time counts the items, so that they have one place. */
static bool take_witnesses(Reader *reader, Transaction *tx)
{
    Reader counting = *reader;
    size_t count, total = 0;
    Bytes item;
    for (size_t i = 0; i < tx->input_count; i++) {
        if (!take_count(&counting, 1, &count)) return false;
        total += count;
        while (count--)
            if (!take_string(&counting, &item)) return false;
    }
    if (!total) return false; /* a witness record without a witness */
    tx->witnesses_at = reader->at;
    tx->items = malloc(total * sizeof *tx->items);
    if (!tx->items) return false;
    Bytes *next = tx->items;
    for (size_t i = 0; i < tx->input_count; i++) {
        Input *input = &tx->inputs[i];
        take_count(reader, 1, &input->witness_size);
        input->witness = next;
        for (size_t n = 0; n < input->witness_size; n++) take_string(reader, next++);
    }
    return true;
}

static bool take_transaction(Reader *reader, Transaction *tx, bool allow_witness)
{
    const uint8_t *number;
    if (!take(reader, 4, &number)) return false;
    tx->version = read_u32(number);
    bool has_witness = allow_witness && left(reader) >= 2 && reader->at[0] == 0;
    if (has_witness) {
        if (reader->at[1] != 1) return false;
        reader->at += 2;
    }
    if (!take_inputs(reader, tx) || !take_outputs(reader, tx)) return false;
    if (has_witness && !take_witnesses(reader, tx)) return false;
    if (!take(reader, 4, &number)) return false;
    tx->locktime = read_u32(number);
    return true;
}

bool read_transaction(Transaction *tx, Bytes buffer, bool allow_witness)
{
    Reader reader = {buffer.at, buffer.at + buffer.size};
    memset(tx, 0, sizeof *tx);
    if (!take_transaction(&reader, tx, allow_witness)) {
        free_transaction(tx);
        return false;
    }
    tx->raw = (Bytes){buffer.at, (size_t)(reader.at - buffer.at)};
    return true;
}

void free_transaction(Transaction *tx)
{
    free(tx->inputs);
    free(tx->items);
    memset(tx, 0, sizeof *tx);
}

const uint8_t *read_output(const uint8_t *at, int64_t *value, Bytes *script)
{
    *value = (int64_t)(read_u32(at) | (uint64_t)read_u32(at + 4) << 32);
    at += 8;
    script->size = *at++;
    if (script->size == 253) {
        script->size = at[0] | (size_t)at[1] << 8;
        at += 2;
    } else if (script->size == 254) {
        script->size = read_u32(at);
        at += 4;
    }
    script->at = at;
    return at + script->size;
}

void hash_transaction(const Transaction *tx, uint8_t txid[32], uint8_t wtxid[32])
{
    sha256d(tx->raw.at, tx->raw.size, wtxid);
    if (!tx->witnesses_at) {
        memcpy(txid, wtxid, 32);
        return;
    }
    const uint8_t *behind_marker = tx->raw.at + 6;
    Hasher hasher;
    sha256_begin(&hasher);
    sha256_add(&hasher, tx->raw.at, 4);
    sha256_add(&hasher, behind_marker, (size_t)(tx->witnesses_at - behind_marker));
    sha256_add(&hasher, tx->raw.at + tx->raw.size - 4, 4);
    sha256d_end(&hasher, txid);
}

/* Bytes without witness: without marker, flag and what is between the outputs and the locktime. */
static size_t base_size(const Transaction *tx)
{
    return tx->witnesses_at ? (size_t)(tx->witnesses_at - tx->raw.at) - 2 + 4 : tx->raw.size;
}

static bool has_sound_values(const Transaction *tx)
{
    int64_t value, total = 0;
    Bytes script;
    const uint8_t *at = tx->outputs.at;
    for (size_t i = 0; i < tx->output_count; i++) {
        at = read_output(at, &value, &script);
        if (value < 0 || value > MAX_MONEY) return false;
        total += value; /* of two that are at most MAX_MONEY: no overflow */
        if (total > MAX_MONEY) return false;
    }
    return true;
}

/* A coinbase spends it, nothing else may. */
static bool spends_null(const Transaction *tx)
{
    static const uint8_t null_outpoint[36] = {[32] = 0xff, 0xff, 0xff, 0xff};
    for (size_t i = 0; i < tx->input_count; i++)
        if (!memcmp(tx->inputs[i].outpoint, null_outpoint, 36)) return true;
    return false;
}

static int compare_outpoints(const void *a, const void *b)
{
    return memcmp(*(const uint8_t *const *)a, *(const uint8_t *const *)b, 36);
}

/* Sorted: of as many as a block has room for there are hundreds of millions of pairs. */
static bool many_differ(const Transaction *tx)
{
    size_t count = tx->input_count;
    const uint8_t **outpoints = malloc(count * sizeof *outpoints);
    if (!outpoints) return false;
    for (size_t i = 0; i < count; i++) outpoints[i] = tx->inputs[i].outpoint;
    qsort(outpoints, count, sizeof *outpoints, compare_outpoints);
    bool differ = true;
    for (size_t i = 1; i < count && differ; i++) differ = memcmp(outpoints[i - 1], outpoints[i], 36) != 0;
    free(outpoints);
    return differ;
}

/* False also where there is no memory to tell. */
static bool outpoints_differ(const Transaction *tx)
{
    enum { FEW = 16 }; /* so few are compared sooner than sorted */
    if (tx->input_count > FEW) return many_differ(tx);
    for (size_t i = 1; i < tx->input_count; i++)
        for (size_t n = 0; n < i; n++)
            if (!memcmp(tx->inputs[i].outpoint, tx->inputs[n].outpoint, 36)) return false;
    return true;
}

bool is_sound(const Transaction *tx)
{
    return tx->input_count && tx->output_count && base_size(tx) <= MAX_BLOCK_WEIGHT / WITNESS_SCALE_FACTOR &&
           has_sound_values(tx) && !spends_null(tx) && outpoints_differ(tx);
}
