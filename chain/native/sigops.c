/* Signature operations, as chain/consensus/sigops.py and `count_sigops` of chain/script/script.py count them. */

#include "native.h"

/* The operation at *at, which moves behind it; data: what it pushes. False at the end, and at a push cut short, where
   *at is not at the end. */
static bool take_op(Bytes script, size_t *at, uint8_t *opcode, Bytes *data)
{
    if (*at == script.size) return false;
    size_t pos = *at + 1;
    *opcode = script.at[*at];
    *data = (Bytes){script.at + pos, 0};
    if (*opcode <= OP_PUSHDATA4) {
        size_t size = *opcode, width = *opcode < OP_PUSHDATA1 ? 0 : (size_t)1 << (*opcode - OP_PUSHDATA1);
        if (width > script.size - pos) return false;
        if (width) size = 0;
        for (size_t i = 0; i < width; i++) size |= (size_t)script.at[pos + i] << 8 * i;
        pos += width;
        if (size > script.size - pos) return false;
        *data = (Bytes){script.at + pos, size};
        pos += size;
    }
    *at = pos;
    return true;
}

/* Up to a push that is cut short. accurate: a multisig counts the keys that are pushed before it, else 20. */
static size_t count_in_script(Bytes script, bool accurate)
{
    size_t count = 0, at = 0;
    uint8_t opcode, last = OP_0;
    Bytes data;
    for (; take_op(script, &at, &opcode, &data); last = opcode) {
        if (opcode == OP_CHECKSIG || opcode == OP_CHECKSIGVERIFY)
            count += 1;
        else if (opcode == OP_CHECKMULTISIG || opcode == OP_CHECKMULTISIGVERIFY)
            count += accurate && OP_1 <= last && last <= OP_16 ? (size_t)last - OP_1 + 1 : 20;
    }
    return count;
}

size_t count_sigops(const Transaction *tx)
{
    size_t count = 0;
    int64_t value;
    Bytes script;
    const uint8_t *at = tx->outputs.at;
    for (size_t i = 0; i < tx->input_count; i++) count += count_in_script(tx->inputs[i].script_sig, false);
    for (size_t i = 0; i < tx->output_count; i++) {
        at = read_output(at, &value, &script);
        count += count_in_script(script, false);
    }
    return count;
}

static bool begins(Bytes script, size_t size, uint8_t first, uint8_t second)
{
    return script.size == size && script.at[0] == first && script.at[1] == second;
}

/* Behind a script that may be a witness program of version 0. */
static size_t count_in_witness(Bytes program, const Input *input)
{
    if (begins(program, 22, 0, 20)) return 1;
    if (!begins(program, 34, 0, 32) || !input->witness_size) return 0;
    return count_in_script(input->witness[input->witness_size - 1], true);
}

/* What the last operation pushes; false if there are others than pushes. */
static bool last_push(Bytes script, Bytes *data)
{
    size_t at = 0;
    uint8_t opcode;
    *data = (Bytes){script.at, 0};
    while (take_op(script, &at, &opcode, data))
        if (opcode > OP_16) return false;
    return at == script.size;
}

size_t input_sigops(const Input *input, Bytes script, uint32_t flags)
{
    Bytes redeem;
    if (!(flags & P2SH)) return 0;
    bool is_p2sh = begins(script, 23, 0xa9, 20) && script.at[22] == 0x87;
    if (!is_p2sh) return flags & WITNESS ? count_in_witness(script, input) : 0;
    if (!last_push(input->script_sig, &redeem)) return 0;
    return count_in_script(redeem, true) * WITNESS_SCALE_FACTOR +
           (flags & WITNESS ? count_in_witness(redeem, input) : 0);
}
