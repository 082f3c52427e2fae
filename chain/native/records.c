/* Coins and undo data as msgpack records: byte for byte what chain/storage/records.py has msgpack make. What is no coin
   of whole numbers, bytes and a bool is left to Python. */

#include "objects.h"

enum { FIXARRAY = 0x90, FALSE_ = 0xc2, TRUE_ = 0xc3, BIN8 = 0xc4, BIN16 = 0xc5, BIN32 = 0xc6, UINT8 = 0xcc,
       UINT16 = 0xcd, UINT32 = 0xce, UINT64 = 0xcf, ARRAY16 = 0xdc, ARRAY32 = 0xdd };
enum { KEY_SIZE = 36, LEAST_ROOM = 256 };

/* A record on its way. */
typedef struct {
    uint8_t *at;
    size_t size, room;
} Record;

/* Makes room for so many bytes more; false without memory. */
static bool reserve(Record *record, size_t more)
{
    if (more <= record->room - record->size) return true;
    size_t room = 2 * record->room + more + LEAST_ROOM;
    uint8_t *at = PyMem_Realloc(record->at, room);
    if (!at) {
        PyErr_NoMemory();
        return false;
    }
    record->at = at;
    record->room = room;
    return true;
}

/* A byte that tells the type, and a number of 1, 2, 4 or 8 bytes, big-endian; there is room for it. */
static void add_number(Record *record, int type, uint64_t n, int size)
{
    record->at[record->size++] = (uint8_t)type;
    while (size--) record->at[record->size++] = (uint8_t)(n >> 8 * size);
}

static void add_uint(Record *record, uint64_t n)
{
    if (n < 0x80)
        record->at[record->size++] = (uint8_t)n;
    else if (n <= UINT8_MAX)
        add_number(record, UINT8, n, 1);
    else if (n <= UINT16_MAX)
        add_number(record, UINT16, n, 2);
    else if (n <= UINT32_MAX)
        add_number(record, UINT32, n, 4);
    else
        add_number(record, UINT64, n, 8);
}

static void add_bytes(Record *record, Bytes bytes)
{
    if (bytes.size <= UINT8_MAX)
        add_number(record, BIN8, bytes.size, 1);
    else if (bytes.size <= UINT16_MAX)
        add_number(record, BIN16, bytes.size, 2);
    else
        add_number(record, BIN32, bytes.size, 4);
    memcpy(record->at + record->size, bytes.at, bytes.size);
    record->size += bytes.size;
}

static bool add_array(Record *record, size_t count)
{
    if (count > UINT32_MAX || !reserve(record, 5)) return false;
    if (count < 16)
        record->at[record->size++] = (uint8_t)(FIXARRAY | count);
    else if (count <= UINT16_MAX)
        add_number(record, ARRAY16, count, 2);
    else
        add_number(record, ARRAY32, count, 4);
    return true;
}

/* False where coin is an odd one, or there is no memory. */
static bool add_coin(Record *record, PyObject *coin)
{
    enum { NUMBERS = 1 + 9 + 5 + 9 + 1 }; /* the most that all but the script takes */
    int64_t value, height;
    if (!PyTuple_Check(coin) || PyTuple_GET_SIZE(coin) != 4) return false;
    PyObject *script = PyTuple_GET_ITEM(coin, 1), *coinbase = PyTuple_GET_ITEM(coin, 3);
    if (!number_of(PyTuple_GET_ITEM(coin, 0), INT64_MAX, &value) || !PyBytes_CheckExact(script) ||
        (size_t)PyBytes_GET_SIZE(script) > UINT32_MAX || !number_of(PyTuple_GET_ITEM(coin, 2), INT64_MAX, &height) ||
        !PyBool_Check(coinbase) || !reserve(record, NUMBERS + (size_t)PyBytes_GET_SIZE(script)))
        return false;
    record->at[record->size++] = FIXARRAY | 4;
    add_uint(record, (uint64_t)value);
    add_bytes(record, bytes_in(script));
    add_uint(record, (uint64_t)height);
    record->at[record->size++] = coinbase == Py_True ? TRUE_ : FALSE_;
    return true;
}

/* Nothing in these loops runs Python's code, which could change the lists meanwhile. */
static bool add_coins(Record *record, PyObject *coins)
{
    if (!PyList_Check(coins) || !add_array(record, (size_t)PyList_GET_SIZE(coins))) return false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(coins); i++)
        if (!add_coin(record, PyList_GET_ITEM(coins, i))) return false;
    return true;
}

static bool add_undo(Record *record, PyObject *txs)
{
    if (!add_array(record, (size_t)PyList_GET_SIZE(txs))) return false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(txs); i++)
        if (!add_coins(record, PyList_GET_ITEM(txs, i))) return false;
    return true;
}

PyObject *native_pack_undo(PyObject *module, PyObject *txs)
{
    Record record = {0};
    (void)module;
    if (!PyList_Check(txs)) Py_RETURN_NONE;
    PyObject *packed = add_undo(&record, txs) ? bytes_of(record.at, record.size) : NULL;
    PyMem_Free(record.at);
    return made_or_none(packed);
}

/* --- rows of the coin store ---------------------------------------------------------------------------- */

/* txid in internal order, then vout big-endian. */
static PyObject *key_of(PyObject *outpoint)
{
    uint8_t key[KEY_SIZE];
    int64_t vout;
    if (!PyTuple_Check(outpoint) || PyTuple_GET_SIZE(outpoint) != 2 || !PyBytes_Check(PyTuple_GET_ITEM(outpoint, 0)) ||
        PyBytes_GET_SIZE(PyTuple_GET_ITEM(outpoint, 0)) != 32 ||
        !number_of(PyTuple_GET_ITEM(outpoint, 1), UINT32_MAX, &vout))
        return NULL;
    memcpy(key, PyBytes_AS_STRING(PyTuple_GET_ITEM(outpoint, 0)), 32);
    for (int i = 0; i < 4; i++) key[32 + i] = (uint8_t)(vout >> 8 * (3 - i));
    return bytes_of(key, KEY_SIZE);
}

/* The row of a coin to put, the key of one that is gone. record: room that is used again. */
static bool add_row(PyObject *cache, PyObject *outpoint, PyObject *put, PyObject *gone, Record *record)
{
    PyObject *coin = PyDict_GetItemWithError(cache, outpoint);
    if (!coin) return false;
    if (coin == Py_None) return append(gone, key_of(outpoint));
    record->size = 0;
    if (!add_coin(record, coin)) return false;
    PyObject *key = key_of(outpoint), *value = key ? bytes_of(record->at, record->size) : NULL;
    PyObject *row = value ? PyTuple_Pack(2, key, value) : NULL;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return append(put, row);
}

PyObject *native_coin_rows(PyObject *module, PyObject *args)
{
    PyObject *cache, *outpoints;
    Record record = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!", &PyDict_Type, &cache, &PyList_Type, &outpoints)) return NULL;
    PyObject *put = PyList_New(0), *gone = PyList_New(0);
    bool good = put && gone;
    for (Py_ssize_t i = 0; good && i < PyList_GET_SIZE(outpoints); i++)
        good = add_row(cache, PyList_GET_ITEM(outpoints, i), put, gone, &record);
    PyMem_Free(record.at);
    PyObject *rows = good ? PyTuple_Pack(2, put, gone) : NULL;
    Py_XDECREF(put);
    Py_XDECREF(gone);
    return made_or_none(rows);
}
