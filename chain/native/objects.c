/* Transactions and what they are made of as Python's objects: the NamedTuples of chain/primitives/transaction.py. */

#include "objects.h"

static PyTypeObject *out_point, *tx_in, *tx_out, *coin_type;
static PyObject *usual_sequences[3]; /* FINAL, and the two below it that wallets use */

bool types_are_bound(void) { return coin_type != NULL; }

Bytes bytes_in(PyObject *object)
{
    return (Bytes){(const uint8_t *)PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object)};
}

bool number_of(PyObject *object, int64_t most, int64_t *n)
{
    int overflow = 1;
    if (PyLong_Check(object)) *n = PyLong_AsLongLongAndOverflow(object, &overflow);
    return !overflow && 0 <= *n && *n <= most;
}

PyObject *bytes_of(const uint8_t *at, size_t size)
{
    return PyBytes_FromStringAndSize((const char *)at, (Py_ssize_t)size);
}

bool append(PyObject *list, PyObject *item)
{
    bool appended = item && PyList_Append(list, item) == 0;
    Py_XDECREF(item);
    return appended;
}

PyObject *made_or_none(PyObject *made)
{
    if (made || PyErr_Occurred()) return made;
    Py_RETURN_NONE;
}

/* An instance of a NamedTuple; takes over its parts, and is NULL if one of them is. The collector of garbage need not
   look at it: its parts are bytes and numbers, or such instances, and a cache holds millions. */
static PyObject *make(PyTypeObject *type, Py_ssize_t size, PyObject *const parts[])
{
    bool whole = true;
    for (Py_ssize_t i = 0; i < size; i++) whole = whole && parts[i];
    PyObject *made = whole ? type->tp_alloc(type, size) : NULL;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (made)
            PyTuple_SET_ITEM(made, i, parts[i]);
        else
            Py_XDECREF(parts[i]);
    }
    if (made) PyObject_GC_UnTrack(made);
    return made;
}

PyObject *make_outpoint(const uint8_t *at)
{
    return make(out_point, 2, (PyObject *[]){bytes_of(at, 32), PyLong_FromUnsignedLong(read_u32(at + 32))});
}

PyObject *make_own_outpoint(PyObject *txid, size_t vout)
{
    return make(out_point, 2, (PyObject *[]){Py_NewRef(txid), PyLong_FromSize_t(vout)});
}

PyObject *make_coin(int64_t value, Bytes script, PyObject *height, bool coinbase)
{
    return make(coin_type, 4, (PyObject *[]){PyLong_FromLongLong(value), bytes_of(script.at, script.size),
                                             Py_NewRef(height), PyBool_FromLong(coinbase)});
}

/* --- the parts of a transaction, which are made when they are asked for -------------------------------- */

/* Puts an item into a new tuple, which is gone if there is none. */
static void put(PyObject **tuple, size_t i, PyObject *item)
{
    if (item)
        PyTuple_SET_ITEM(*tuple, (Py_ssize_t)i, item);
    else
        Py_CLEAR(*tuple);
}

static PyObject *sequence_of(const Input *input)
{
    uint32_t below = UINT32_MAX - input->sequence;
    return below < 3 ? Py_NewRef(usual_sequences[below]) : PyLong_FromUnsignedLong(input->sequence);
}

static PyObject *make_inputs(const Transaction *tx)
{
    PyObject *inputs = PyTuple_New((Py_ssize_t)tx->input_count);
    for (size_t i = 0; inputs && i < tx->input_count; i++) {
        const Input *input = &tx->inputs[i];
        put(&inputs, i, make(tx_in, 3, (PyObject *[]){make_outpoint(input->outpoint),
                                                      bytes_of(input->script_sig.at, input->script_sig.size),
                                                      sequence_of(input)}));
    }
    return inputs;
}

static PyObject *make_outputs(const Transaction *tx)
{
    const uint8_t *at = tx->outputs.at;
    PyObject *outputs = PyTuple_New((Py_ssize_t)tx->output_count);
    for (size_t i = 0; outputs && i < tx->output_count; i++) {
        int64_t value;
        Bytes script;
        at = read_output(at, &value, &script);
        put(&outputs, i, make(tx_out, 2, (PyObject *[]){PyLong_FromLongLong(value), bytes_of(script.at, script.size)}));
    }
    return outputs;
}

static PyObject *make_stack(const Input *input)
{
    PyObject *stack = PyTuple_New((Py_ssize_t)input->witness_size);
    for (size_t i = 0; stack && i < input->witness_size; i++)
        put(&stack, i, bytes_of(input->witness[i].at, input->witness[i].size));
    return stack;
}

static PyObject *make_witness(const Transaction *tx)
{
    PyObject *stacks = PyTuple_New((Py_ssize_t)tx->input_count);
    for (size_t i = 0; stacks && i < tx->input_count; i++)
        put(&stacks, i, make_stack(&tx->inputs[i]));
    return stacks;
}

static PyObject *make_part(PyObject *raw, PyObject *(*make_it)(const Transaction *tx))
{
    Transaction tx;
    if (!PyBytes_Check(raw)) return PyErr_Format(PyExc_TypeError, "a raw transaction is bytes");
    if (!types_are_bound() || !read_transaction(&tx, bytes_in(raw), true)) Py_RETURN_NONE;
    PyObject *part = make_it(&tx);
    free_transaction(&tx);
    return part;
}

PyObject *native_inputs(PyObject *module, PyObject *raw)
{
    (void)module;
    return make_part(raw, make_inputs);
}

PyObject *native_outputs(PyObject *module, PyObject *raw)
{
    (void)module;
    return make_part(raw, make_outputs);
}

PyObject *native_witness(PyObject *module, PyObject *raw)
{
    (void)module;
    return make_part(raw, make_witness);
}

/* --- a transaction ------------------------------------------------------------------------------------- */

static PyObject *make_transaction(const Transaction *tx, PyObject *buffer)
{
    const uint8_t *raw = tx->raw.at;
    uint8_t txid[32], wtxid[32];
    bool whole = tx->raw.size == (size_t)PyBytes_GET_SIZE(buffer);
    hash_transaction(tx, txid, wtxid);
    PyObject *strip = tx->witnesses_at ? PyLong_FromSsize_t(tx->witnesses_at - raw) : Py_NewRef(Py_None);
    return Py_BuildValue("IINnnnNy#y#nN", tx->version, tx->locktime,
                         whole ? Py_NewRef(buffer) : bytes_of(raw, tx->raw.size), (Py_ssize_t)tx->input_count,
                         (Py_ssize_t)(tx->inputs_at - raw), (Py_ssize_t)(tx->outputs.at - raw), strip, txid,
                         (Py_ssize_t)32, wtxid, (Py_ssize_t)32, (Py_ssize_t)count_sigops(tx),
                         PyBool_FromLong(is_sound(tx)));
}

PyObject *native_transaction(PyObject *module, PyObject *args)
{
    PyObject *buffer, *made;
    Py_ssize_t pos;
    int allow_witness;
    Transaction tx;
    (void)module;
    if (!is_bound(false) || !PyArg_ParseTuple(args, "Snp", &buffer, &pos, &allow_witness)) return NULL;
    if (pos < 0 || pos > PyBytes_GET_SIZE(buffer) || !types_are_bound()) Py_RETURN_NONE;
    Bytes bytes = bytes_in(buffer);
    if (!read_transaction(&tx, (Bytes){bytes.at + pos, bytes.size - (size_t)pos}, allow_witness)) Py_RETURN_NONE;
    made = make_transaction(&tx, buffer);
    free_transaction(&tx);
    return made;
}

PyObject *native_bind_types(PyObject *module, PyObject *args)
{
    PyTypeObject *types[4];
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!O!O!", &PyType_Type, &types[0], &PyType_Type, &types[1], &PyType_Type, &types[2],
                          &PyType_Type, &types[3]))
        return NULL;
    for (int i = 0; i < 4; i++)
        if (!PyType_IsSubtype(types[i], &PyTuple_Type))
            return PyErr_Format(PyExc_TypeError, "%s is no tuple", types[i]->tp_name);
    for (unsigned i = 0; i < 3; i++) {
        PyObject *sequence = PyLong_FromUnsignedLong(UINT32_MAX - i);
        if (!sequence) return NULL;
        Py_XSETREF(usual_sequences[i], sequence);
    }
    for (int i = 0; i < 4; i++) Py_INCREF(types[i]);
    Py_XSETREF(out_point, types[0]);
    Py_XSETREF(tx_in, types[1]);
    Py_XSETREF(tx_out, types[2]);
    Py_XSETREF(coin_type, types[3]);
    Py_RETURN_NONE;
}
