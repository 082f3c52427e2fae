/* What a block does to the coins: the twin of `spend_block` in chain/consensus/connect.py, with the look for the coins in
   the dictionaries of chain/coins_cache.py. Outpoints are hashed and compared without any code of Python's, so nothing
   changes while it is looked at. */

#include "objects.h"

/* A block on its way. Functions on it are false where something is odd, which Python is to look at, and where there is
   an error, which is set then. */
typedef struct {
    PyObject *caches; /* a tuple of dictionaries of outpoint to coin, or None where it is spent */
    PyObject *height_object;
    int64_t height;
    uint32_t flags;
    /* What comes out. */
    PyObject *undo, *changes;
    PyObject *locked;  /* places of transactions with relative locks */
    PyObject *missing; /* outpoints that no cache knows */
    int64_t fees, cost;
} Spend;

/* One of its transactions. */
typedef struct {
    Transaction read;
    PyObject *txid, *spent; /* spent: its coins */
    int64_t value_in, value_out;
} Spending;

static PyObject *raw_name, *txid_name, *sigops_name;

/* --- inputs -------------------------------------------------------------------------------------------- */

/* What the first of the caches that knows outpoint says, borrowed; NULL if none does, or with an error. */
static PyObject *find_coin(const Spend *spend, PyObject *outpoint)
{
    PyObject *coin = NULL;
    for (Py_ssize_t i = 0; !coin && i < PyTuple_GET_SIZE(spend->caches); i++) {
        PyObject *cache = PyTuple_GET_ITEM(spend->caches, i);
        coin = PyDict_GET_SIZE(cache) ? PyDict_GetItemWithError(cache, outpoint) : NULL;
        if (!coin && PyErr_Occurred()) break;
    }
    return coin;
}

/* coin: of input, or None. */
static bool take_coin(Spend *spend, Spending *tx, const Input *input, PyObject *coin)
{
    int64_t value, height;
    if (!PyTuple_Check(coin) || PyTuple_GET_SIZE(coin) != 4 ||
        !number_of(PyTuple_GET_ITEM(coin, 0), MAX_MONEY, &value) || !PyBytes_Check(PyTuple_GET_ITEM(coin, 1)) ||
        !number_of(PyTuple_GET_ITEM(coin, 2), INT32_MAX, &height) || !PyBool_Check(PyTuple_GET_ITEM(coin, 3)))
        return false;
    bool coinbase = PyTuple_GET_ITEM(coin, 3) == Py_True;
    if (coinbase && spend->height - height < COINBASE_MATURITY) return false;
    tx->value_in += value;
    spend->cost += (int64_t)input_sigops(input, bytes_in(PyTuple_GET_ITEM(coin, 1)), spend->flags);
    return tx->value_in <= MAX_MONEY && PyList_Append(tx->spent, coin) == 0;
}

static bool spend_outpoint(Spend *spend, Spending *tx, const Input *input, PyObject *outpoint)
{
    PyObject *inside = PyDict_GetItemWithError(spend->changes, outpoint); /* None where it was spent before */
    PyObject *coin = inside || PyErr_Occurred() ? inside : find_coin(spend, outpoint);
    if (PyErr_Occurred()) return false;
    if (!coin) return PyList_Append(spend->missing, outpoint) == 0;
    if (!take_coin(spend, tx, input, coin)) return false;
    return (inside ? PyDict_DelItem(spend->changes, outpoint)
                   : PyDict_SetItem(spend->changes, outpoint, Py_None)) == 0;
}

static bool spend_input(Spend *spend, Spending *tx, const Input *input)
{
    PyObject *outpoint = make_outpoint(input->outpoint);
    bool good = outpoint && spend_outpoint(spend, tx, input, outpoint);
    Py_XDECREF(outpoint);
    return good;
}

/* Whether an input has a relative lock (BIP 68). */
static bool has_locks(const Transaction *tx)
{
    const uint32_t disabled = (uint32_t)1 << 31;
    for (size_t i = 0; i < tx->input_count && tx->version >= 2; i++)
        if (!(tx->inputs[i].sequence & disabled)) return true;
    return false;
}

static bool spend_inputs(Spend *spend, Spending *tx, size_t place)
{
    tx->spent = PyList_New(0);
    if (!tx->spent) return false;
    for (size_t i = 0; i < tx->read.input_count; i++)
        if (!spend_input(spend, tx, &tx->read.inputs[i])) return false;
    return PyList_Append(spend->undo, tx->spent) == 0 &&
           (!has_locks(&tx->read) || append(spend->locked, PyLong_FromSize_t(place)));
}

/* --- outputs ------------------------------------------------------------------------------------------- */

static bool is_unspendable(Bytes script)
{
    enum { MAX_SCRIPT_SIZE = 10000 };
    return script.size > MAX_SCRIPT_SIZE || (script.size && script.at[0] == OP_RETURN);
}

static bool make_change(Spend *spend, const Spending *tx, size_t n, int64_t value, Bytes script, bool coinbase)
{
    if (is_unspendable(script)) return true;
    PyObject *outpoint = make_own_outpoint(tx->txid, n), *coin = make_coin(value, script, spend->height_object, coinbase);
    bool made = outpoint && coin && PyDict_SetItem(spend->changes, outpoint, coin) == 0;
    Py_XDECREF(outpoint);
    Py_XDECREF(coin);
    return made;
}

static bool make_outputs(Spend *spend, Spending *tx, bool coinbase)
{
    const uint8_t *at = tx->read.outputs.at;
    for (size_t n = 0; n < tx->read.output_count; n++) {
        int64_t value;
        Bytes script;
        at = read_output(at, &value, &script);
        if (value < 0 || value > MAX_MONEY || !make_change(spend, tx, n, value, script, coinbase)) return false;
        tx->value_out += value;
        if (tx->value_out > MAX_MONEY) return false;
    }
    return true;
}

/* --- the block ----------------------------------------------------------------------------------------- */

/* Of the sums: a coin that is missing, and all behind it, is not looked at before it is there. */
static bool adds_up(Spend *spend, const Spending *tx, bool coinbase)
{
    if (PyList_GET_SIZE(spend->missing)) return true;
    if (!coinbase) spend->fees += tx->value_in - tx->value_out;
    return (coinbase || tx->value_in >= tx->value_out) && spend->fees <= MAX_MONEY &&
           spend->cost <= MAX_BLOCK_SIGOPS_COST;
}

static bool spend_read(Spend *spend, Spending *tx, size_t place, int64_t sigops)
{
    spend->cost += sigops * WITNESS_SCALE_FACTOR;
    bool good = (!place || spend_inputs(spend, tx, place)) && make_outputs(spend, tx, !place) &&
                adds_up(spend, tx, !place);
    Py_XDECREF(tx->spent);
    return good;
}

/* Number place of the block; the first is the coinbase. */
static bool spend_transaction(Spend *spend, PyObject *object, size_t place)
{
    PyObject *raw = PyObject_GetAttr(object, raw_name); /* nothing is asked for while an error is set */
    PyObject *txid = raw ? PyObject_GetAttr(object, txid_name) : NULL;
    PyObject *sigops = txid ? PyObject_GetAttr(object, sigops_name) : NULL;
    Spending tx = {.txid = txid};
    int64_t count;
    bool good = sigops && PyBytes_Check(raw) && PyBytes_CheckExact(txid) && /* others could hash as they like */
                number_of(sigops, MAX_BLOCK_SIGOPS_COST, &count) && read_transaction(&tx.read, bytes_in(raw), true);
    if (good) {
        good = tx.read.raw.size == (size_t)PyBytes_GET_SIZE(raw) && spend_read(spend, &tx, place, count);
        free_transaction(&tx.read);
    }
    Py_XDECREF(raw);
    Py_XDECREF(txid);
    Py_XDECREF(sigops);
    return good;
}

static bool spend_all(Spend *spend, PyObject *vtx)
{
    for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(vtx); n++)
        if (!spend_transaction(spend, PyTuple_GET_ITEM(vtx, n), (size_t)n)) return false;
    return true;
}

static PyObject *tell(const Spend *spend)
{
    if (PyList_GET_SIZE(spend->missing)) return Py_NewRef(spend->missing);
    return Py_BuildValue("OOLLO", spend->undo, spend->changes, (long long)spend->fees, (long long)spend->cost,
                         spend->locked);
}

static bool has_names(void)
{
    if (!raw_name) raw_name = PyUnicode_InternFromString("raw");
    if (!txid_name) txid_name = PyUnicode_InternFromString("_txid");
    if (!sigops_name) sigops_name = PyUnicode_InternFromString("sigops");
    return raw_name && txid_name && sigops_name;
}

static bool are_dictionaries(PyObject *caches)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(caches); i++)
        if (!PyDict_Check(PyTuple_GET_ITEM(caches, i))) {
            PyErr_SetString(PyExc_TypeError, "a cache is a dictionary");
            return false;
        }
    return true;
}

PyObject *native_spend(PyObject *module, PyObject *args)
{
    Spend spend = {0};
    PyObject *vtx, *told = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!O!I", &PyTuple_Type, &vtx, &PyTuple_Type, &spend.caches, &PyLong_Type,
                          &spend.height_object, &spend.flags) || !are_dictionaries(spend.caches))
        return NULL;
    if (!types_are_bound() || !number_of(spend.height_object, INT32_MAX, &spend.height)) Py_RETURN_NONE;
    spend.undo = PyList_New(0);
    spend.changes = PyDict_New();
    spend.locked = PyList_New(0);
    spend.missing = PyList_New(0);
    if (has_names() && spend.undo && spend.changes && spend.locked && spend.missing && spend_all(&spend, vtx))
        told = tell(&spend);
    Py_XDECREF(spend.undo);
    Py_XDECREF(spend.changes);
    Py_XDECREF(spend.locked);
    Py_XDECREF(spend.missing);
    return made_or_none(told);
}
