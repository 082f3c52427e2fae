/* Transactions drawn by lot before the readers and templates of chain/native, for the compiler's sanitizers.

   lottery SEED SECONDS. All hashes are zero here, as are the programs that are paid, and a signature is good or bad
   by lot: so no form is out of reach. Each buffer ends where its bytes end, every byte that goes to a hash or to the
   curve is read, and now and then there is no memory. Prints how many transactions were read, inputs proved. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *scarce(size_t size);

#define malloc(size) scarce(size)
#define calloc(count, size) scarce((count) * (size))
#include "transaction.c"
#include "sigops.c"
#include "sighash.c"
#include "templates.c"
#undef malloc
#undef calloc

/* --- chance -------------------------------------------------------------------------------------------- */

static uint64_t state;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % limit;
}

static bool one_in(uint32_t n) { return below(n) == 0; }

static void *scarce(size_t size) { return one_in(200) ? NULL : calloc(1, size); }

/* --- in place of hashing.c and curve.c ----------------------------------------------------------------- */

Hasher TAP_SIGHASH, TAP_LEAF, TAP_BRANCH, TAP_TWEAK;

static void read_all(const void *data, size_t size)
{
    static volatile uint8_t sum;
    for (size_t i = 0; i < size; i++) sum ^= ((const uint8_t *)data)[i];
}

void sha256_begin(Hasher *hasher) { memset(hasher, 0, sizeof *hasher); }

void sha256_add(Hasher *hasher, const void *data, size_t size)
{
    read_all(hasher, sizeof *hasher);
    read_all(data, size);
}

void sha256_end(Hasher *hasher, uint8_t hash[32])
{
    read_all(hasher, sizeof *hasher);
    memset(hash, 0, 32);
}

void sha256d_end(Hasher *hasher, uint8_t hash[32]) { sha256_end(hasher, hash); }

void sha256(const void *data, size_t size, uint8_t hash[32])
{
    read_all(data, size);
    memset(hash, 0, 32);
}

void sha256d(const void *data, size_t size, uint8_t hash[32]) { sha256(data, size, hash); }

void hash160(const void *data, size_t size, uint8_t hash[20])
{
    read_all(data, size);
    memset(hash, 0, 20);
}

bool verify_ecdsa(Curve *curve, Bytes key, Bytes sig, const uint8_t digest[32], bool high_s)
{
    (void)curve;
    read_all(key.at, key.size);
    read_all(sig.at, sig.size);
    read_all(digest, 32);
    return !one_in(high_s ? 4 : 3);
}

bool verify_schnorr(Curve *curve, const uint8_t key[32], const uint8_t sig[64], const uint8_t digest[32])
{
    (void)curve;
    read_all(key, 32);
    read_all(sig, 64);
    read_all(digest, 32);
    return !one_in(8);
}

bool verify_tweak(Curve *curve, const uint8_t internal[32], const uint8_t tweak[32], const uint8_t output[32],
                  int parity)
{
    (void)curve;
    read_all(internal, 32);
    read_all(tweak, 32);
    read_all(output, 32);
    return parity || !one_in(8);
}

/* --- bytes --------------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t at[1 << 16];
    size_t size;
} Text;

static void add(Text *text, const void *data, size_t size)
{
    if (size > sizeof text->at - text->size) return;
    memcpy(text->at + text->size, data, size);
    text->size += size;
}

static void add_byte(Text *text, uint32_t byte) { add(text, &(uint8_t){(uint8_t)byte}, 1); }

static void add_zeros(Text *text, size_t count)
{
    while (count--) add_byte(text, 0);
}

static void add_random(Text *text, size_t count)
{
    while (count--) add_byte(text, below(256));
}

static void add_size(Text *text, size_t size)
{
    uint8_t bytes[5];
    add(text, bytes, write_size(bytes, size));
}

static void add_string(Text *text, const Text *data)
{
    add_size(text, data->size);
    add(text, data->at, data->size);
}

/* Of up to 65,535 bytes; mostly the shortest. */
static void add_push(Text *text, const Text *data)
{
    if (data->size < OP_PUSHDATA1 && !one_in(40)) {
        add_byte(text, (uint32_t)data->size);
    } else if (data->size < 256 && !one_in(40)) {
        add_byte(text, OP_PUSHDATA1);
        add_byte(text, (uint32_t)data->size);
    } else {
        add_byte(text, OP_PUSHDATA2);
        add_byte(text, (uint32_t)data->size);
        add_byte(text, (uint32_t)data->size >> 8);
    }
    add(text, data->at, data->size);
}

static void damage(Text *text)
{
    static const uint8_t telling[] = {0,    1,    2,    0x4b, 0x4c, 0x4d, 0x4e, 0x50, 0x51, 0x60,
                                      0x9c, 0xac, 0xae, 0xb1, 0xb2, 0xba, 252,  253,  254,  255};
    if (!text->size) return;
    uint32_t place = below((uint32_t)text->size);
    switch (below(4)) {
    case 0: text->at[place] = (uint8_t)below(256); break;
    case 1: text->at[place] = telling[below(sizeof telling)]; break;
    case 2: text->size = place; break;
    default: add_byte(text, below(256));
    }
}

/* --- pieces of an input -------------------------------------------------------------------------------- */

enum { MOST_ITEMS = 140 };

static Text script_pubkey, script_sig, inner, piece, items[MOST_ITEMS];
static size_t item_count;

static Text *new_item(void)
{
    Text *item = &items[item_count < MOST_ITEMS - 1 ? item_count++ : item_count];
    item->size = 0;
    return item;
}

static void add_ecdsa(Text *text)
{
    add_random(text, one_in(8) ? below(80) : 59 + below(14));
    add_byte(text, one_in(12) ? below(256) : 1);
}

static void add_schnorr(Text *text)
{
    static const size_t sizes[] = {64, 64, 64, 65, 65, 65, 0, 0, 63, 66};
    size_t size = sizes[below(10)];
    add_random(text, size);
    if (size == 65 && !one_in(6)) text->at[text->size - 1] = 1;
}

static void add_key(Text *text)
{
    bool compressed = !one_in(4);
    add_byte(text, one_in(20) ? below(256) : compressed ? 2 + below(2) : 4);
    add_random(text, compressed ? 32 : 64);
}

/* Returns how many signatures it wants. */
static size_t add_multisig(Text *text)
{
    uint32_t keys = 1 + below(one_in(10) ? 20 : 16), wanted = 1 + below(one_in(10) ? keys + 2 : keys);
    add_byte(text, OP_1 - 1 + wanted);
    for (uint32_t i = 0; i < keys; i++) {
        piece.size = 0;
        add_key(&piece);
        add_byte(text, (uint32_t)piece.size);
        add(text, piece.at, piece.size);
    }
    if (one_in(20)) text->size -= below(8); /* the last key is cut short */
    add_byte(text, OP_1 - 1 + keys);
    add_byte(text, OP_CHECKMULTISIG);
    return one_in(9) ? below(20) : wanted;
}

static void add_pushed_sigs(Text *text, size_t count)
{
    add_byte(text, OP_0);
    while (count--) {
        piece.size = 0;
        add_ecdsa(&piece);
        add_push(text, &piece);
    }
}

static void add_program(Text *text, uint32_t first, size_t size)
{
    add_byte(text, first);
    add_byte(text, (uint32_t)size);
    add_zeros(text, size);
}

static void add_key_check(Text *text, uint32_t opcode)
{
    add_byte(text, 32);
    add_random(text, 32);
    add_byte(text, opcode);
}

/* A script that wallets make, and the items that it takes. */
static void add_leaf(Text *text)
{
    uint32_t count = one_in(12) ? 95 + below(10) : 1 + below(20), signers = 0;
    switch (below(4)) {
    case 0:
        add_schnorr(new_item());
        add_key_check(text, OP_CHECKSIG);
        break;
    case 1:
        for (uint32_t i = 0; i < count; i++) {
            Text *item = new_item();
            add_schnorr(item);
            signers += item->size != 0;
            add_key_check(text, i ? OP_CHECKSIGADD : OP_CHECKSIG);
        }
        add_byte(text, OP_1 - 1 + signers);
        add_byte(text, OP_NUMEQUAL);
        break;
    case 2:
        add_schnorr(new_item());
        add_random(new_item(), one_in(9) ? below(40) : 32);
        add(text, "\x82\x01\x20\x88\xa8\x20", 6);
        add_zeros(text, 32);
        add_byte(text, 0x88);
        add_key_check(text, OP_CHECKSIG);
        break;
    default:
        add_schnorr(new_item());
        add_key_check(text, OP_CHECKSIGVERIFY);
        count = one_in(9) ? below(9) : 1 + below(5);
        if (one_in(2)) {
            add_byte(text, OP_1 + below(17));
        } else {
            add_byte(text, count);
            add_random(text, count);
        }
        add_byte(text, OP_CHECKLOCKTIMEVERIFY + below(3));
    }
}

static void draw_input(void)
{
    size_t count;
    script_pubkey.size = script_sig.size = inner.size = item_count = 0;
    uint32_t form = below(9);
    switch (form) {
    case 0:
        add_program(&script_pubkey, OP_0, 20);
        add_ecdsa(new_item());
        add_key(new_item());
        break;
    case 1:
        add_byte(&script_pubkey, 0x76);
        add_program(&script_pubkey, 0xa9, 20);
        add(&script_pubkey, "\x88\xac", 2);
        add_ecdsa(&inner);
        add_push(&script_sig, &inner);
        inner.size = 0;
        add_key(&inner);
        add_push(&script_sig, &inner);
        break;
    case 2:
        add_key(&inner);
        add_push(&script_pubkey, &inner);
        add_byte(&script_pubkey, OP_CHECKSIG);
        inner.size = 0;
        add_ecdsa(&inner);
        add_push(&script_sig, &inner);
        break;
    case 3:
    case 4:
        if (form == 4) {
            add_byte(&script_sig, 34);
            add_program(&script_sig, OP_0, 32);
            add_program(&script_pubkey, 0xa9, 20);
            add_byte(&script_pubkey, OP_EQUAL);
        } else {
            add_program(&script_pubkey, OP_0, 32);
        }
        count = add_multisig(&inner);
        for (new_item(); count--;) add_ecdsa(new_item());
        add(new_item(), inner.at, inner.size);
        break;
    case 5:
        add_pushed_sigs(&script_sig, add_multisig(&script_pubkey));
        break;
    case 6:
        add_program(&script_pubkey, 0xa9, 20);
        add_byte(&script_pubkey, OP_EQUAL);
        if (one_in(3)) {
            add_byte(&script_sig, 22);
            add_program(&script_sig, OP_0, 20);
            add_ecdsa(new_item());
            add_key(new_item());
        } else {
            add_pushed_sigs(&script_sig, add_multisig(&inner));
            add_push(&script_sig, &inner);
        }
        break;
    case 7:
        add_program(&script_pubkey, OP_1, 32);
        add_schnorr(new_item());
        break;
    default:
        add_program(&script_pubkey, OP_1, 32);
        add_leaf(&inner);
        if (one_in(8)) damage(&inner);
        add(new_item(), inner.at, inner.size);
        Text *control = new_item();
        add_byte(control, LEAF_TAPSCRIPT | below(2));
        add_random(control, 32 + 32 * (one_in(9) ? below(131) : below(4)));
    }
    if (one_in(20)) damage(&script_pubkey);
    if (one_in(10)) damage(&script_sig);
    if (item_count && one_in(10)) damage(&items[below((uint32_t)item_count)]);
    if (one_in(20)) item_count = below((uint32_t)item_count + 1);
}

/* --- whole transactions -------------------------------------------------------------------------------- */

static void add_filler(Text *text)
{
    uint32_t size = one_in(8) ? below(400) : below(40);
    add_size(text, size);
    add_random(text, size);
}

/* With what was drawn as input own. */
static void add_transaction(Text *text, uint32_t inputs, uint32_t own)
{
    bool with_witness = item_count || one_in(9);
    uint32_t outputs = one_in(20) ? 250 + below(10) : below(4);
    add_byte(text, below(3));
    add_zeros(text, 3);
    if (with_witness) add(text, "\0\1", 2);
    add_size(text, inputs);
    for (uint32_t i = 0; i < inputs; i++) {
        if (one_in(30))
            add_zeros(text, 36); /* the same again */
        else
            add_random(text, 36);
        if (i == own)
            add_string(text, &script_sig);
        else
            add_filler(text);
        add_random(text, 3);
        add_byte(text, one_in(2) ? 0 : below(256));
    }
    add_size(text, outputs);
    for (uint32_t i = 0; i < outputs; i++) {
        size_t range = one_in(9) ? 8 : 6; /* as a rule they may be paid */
        add_random(text, range);
        add_zeros(text, 8 - range);
        add_filler(text);
    }
    for (uint32_t i = 0; with_witness && i < inputs; i++) {
        add_size(text, i == own ? item_count : 0);
        for (size_t n = 0; i == own && n < item_count; n++) add_string(text, &items[n]);
    }
    add_random(text, 4);
    if (one_in(4)) damage(text);
}

static Bytes exact_copy(const Text *text)
{
    uint8_t *at = malloc(text->size ? text->size : 1);
    if (!at) abort();
    memcpy(at, text->at, text->size);
    return (Bytes){at, text->size};
}

/* Returns how many inputs were proved. */
static size_t prove_all(const Transaction *tx, Bytes script)
{
    size_t proved = 0;
    uint8_t txid[32], wtxid[32];
    uint32_t flags = one_in(3) ? below(1 << 21) : P2SH | WITNESS | TAPROOT;
    SpentOutput *spent = malloc(tx->input_count * sizeof *spent);
    Digests digests;
    if (!spent) abort();
    for (size_t i = 0; i < tx->input_count; i++) spent[i] = (SpentOutput){(int64_t)i - 1, script};
    hash_transaction(tx, txid, wtxid);
    count_sigops(tx);
    for (size_t i = 0; i < tx->input_count; i++) input_sigops(&tx->inputs[i], script, flags);
    is_sound(tx);
    begin_digests(&digests, tx, spent);
    for (size_t i = 0; i < tx->input_count; i++) proved += prove_input(&digests, i, flags, NULL);
    free_digests(&digests);
    free(spent);
    return proved;
}

int main(int count, char **arguments)
{
    static Text text;
    size_t read = 0, proved = 0;
    if (count != 3) return 2;
    state = strtoull(arguments[1], NULL, 10) * 2 + 1;
    time_t end = time(NULL) + atoi(arguments[2]);
    for (size_t round = 0; round % 100 || time(NULL) < end; round++) {
        Transaction tx;
        uint32_t inputs = one_in(12) ? 30 + below(40) : 1 + below(3);
        text.size = 0;
        draw_input();
        add_transaction(&text, inputs, below(inputs));
        Bytes raw = exact_copy(&text), script = exact_copy(&script_pubkey);
        if (read_transaction(&tx, raw, !one_in(12))) {
            read++;
            proved += prove_all(&tx, script);
            free_transaction(&tx);
        }
        free((void *)raw.at);
        free((void *)script.at);
    }
    printf("%zu %zu\n", read, proved);
    return 0;
}
