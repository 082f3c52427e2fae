/* The door to Python: pybitcoind.chain.native._part. */

#include "objects.h"

/* One run of inputs. raw and the scripts are held while the interpreter's lock is free. */
typedef struct {
    PyObject *object;
    Bytes raw;
    size_t spent_count, start, stop;
    SpentOutput *spent;
    PyObject **scripts;
} Run;

typedef struct {
    size_t run, index;
} Unproven;

typedef struct {
    Unproven *at;
    size_t count, room;
} UnprovenList;

bool is_bound(bool curve_too)
{
    if (hashing_is_bound() && (!curve_too || curve_is_bound())) return true;
    PyErr_SetString(PyExc_RuntimeError, "the functions that it works with are not bound");
    return false;
}

/* --- in ------------------------------------------------------------------------------------------------ */

/* Nothing in its loop runs Python's code, which could change the list meanwhile. */
static bool take_spent(Run *run, PyObject *outputs)
{
    PyObject *items = PySequence_Fast(outputs, "the spent outputs are a sequence");
    if (!items) return false;
    size_t count = (size_t)PySequence_Fast_GET_SIZE(items);
    run->spent = PyMem_Malloc((count + 1) * sizeof *run->spent);
    run->scripts = PyMem_Malloc((count + 1) * sizeof *run->scripts);
    if (!run->spent || !run->scripts) PyErr_NoMemory();
    for (size_t i = 0; i < count && !PyErr_Occurred(); i++) {
        PyObject *output = PySequence_Fast_GET_ITEM(items, (Py_ssize_t)i);
        if (!PyTuple_Check(output) || PyTuple_GET_SIZE(output) < 2 || !PyLong_Check(PyTuple_GET_ITEM(output, 0)) ||
            !PyBytes_Check(PyTuple_GET_ITEM(output, 1))) {
            PyErr_SetString(PyExc_TypeError, "a spent output begins with its value and its script");
            break;
        }
        PyObject *script = PyTuple_GET_ITEM(output, 1);
        run->spent[i].value = PyLong_AsLongLong(PyTuple_GET_ITEM(output, 0));
        run->spent[i].script = bytes_in(script);
        run->scripts[run->spent_count++] = Py_NewRef(script);
    }
    Py_DECREF(items);
    return !PyErr_Occurred();
}

/* From (raw, spent outputs, start, stop). */
static bool take_run(Run *run, PyObject *object)
{
    PyObject *raw, *spent;
    Py_ssize_t start, stop;
    if (!PyTuple_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "a run is a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(object, "SOnn", &raw, &spent, &start, &stop)) return false;
    run->object = Py_NewRef(raw);
    run->raw = bytes_in(raw);
    if (!take_spent(run, spent)) return false;
    if (start < 0 || stop < start || (size_t)stop > run->spent_count) {
        PyErr_SetString(PyExc_ValueError, "a run is of inputs whose spent outputs are given");
        return false;
    }
    run->start = (size_t)start;
    run->stop = (size_t)stop;
    return true;
}

static void free_runs(Run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Run *run = &runs[i];
        for (size_t n = 0; n < run->spent_count; n++) Py_DECREF(run->scripts[n]);
        PyMem_Free(run->scripts);
        PyMem_Free(run->spent);
        Py_XDECREF(run->object);
    }
    PyMem_Free(runs);
}

/* --- without the interpreter's lock -------------------------------------------------------------------- */

static bool add_unproven(UnprovenList *list, size_t run, size_t index)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        Unproven *at = PyMem_RawRealloc(list->at, room * sizeof *at);
        if (!at) return false;
        list->at = at;
        list->room = room;
    }
    list->at[list->count++] = (Unproven){run, index};
    return true;
}

static bool prove_run(const Run *run, size_t number, uint32_t flags, Curve *curve, UnprovenList *list)
{
    Transaction tx;
    Digests digests;
    bool readable = read_transaction(&tx, run->raw, true) && tx.input_count == run->spent_count, noted = true;
    begin_digests(&digests, &tx, run->spent);
    for (size_t index = run->start; index < run->stop && noted; index++)
        if (!readable || !prove_input(&digests, index, flags, curve))
            noted = add_unproven(list, number, index);
    free_digests(&digests);
    free_transaction(&tx);
    return noted;
}

static bool prove_runs(const Run *runs, size_t count, uint32_t flags, UnprovenList *list)
{
    Curve *curve = PyMem_RawCalloc(1, sizeof *curve);
    bool noted = curve != NULL;
    for (size_t i = 0; i < count && noted; i++) noted = prove_run(&runs[i], i, flags, curve, list);
    PyMem_RawFree(curve);
    return noted;
}

/* --- out ----------------------------------------------------------------------------------------------- */

static PyObject *list_unproven(const UnprovenList *unproven)
{
    PyObject *list = PyList_New((Py_ssize_t)unproven->count);
    for (size_t i = 0; list && i < unproven->count; i++) {
        PyObject *pair = Py_BuildValue("nn", (Py_ssize_t)unproven->at[i].run, (Py_ssize_t)unproven->at[i].index);
        if (pair)
            PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* objects: a tuple, which stays as it is whatever Python's code runs while it is read. */
static PyObject *prove_objects(PyObject *objects, uint32_t flags)
{
    size_t count = (size_t)PyTuple_GET_SIZE(objects), taken = 0;
    Run *runs = PyMem_Calloc(count + 1, sizeof *runs);
    if (!runs) return PyErr_NoMemory();
    while (taken < count && take_run(&runs[taken], PyTuple_GET_ITEM(objects, (Py_ssize_t)taken))) taken++;
    if (taken < count) {
        free_runs(runs, taken + 1);
        return NULL;
    }
    UnprovenList unproven = {0};
    bool noted;
    Py_BEGIN_ALLOW_THREADS
    noted = prove_runs(runs, count, flags, &unproven);
    Py_END_ALLOW_THREADS
    free_runs(runs, count);
    PyObject *list = noted ? list_unproven(&unproven) : PyErr_NoMemory();
    PyMem_RawFree(unproven.at);
    return list;
}

static PyObject *native_prove(PyObject *module, PyObject *args)
{
    PyObject *list;
    unsigned int flags;
    (void)module;
    if (!is_bound(true) || !PyArg_ParseTuple(args, "O!I", &PyList_Type, &list, &flags)) return NULL;
    PyObject *objects = PyList_AsTuple(list);
    if (!objects) return NULL;
    PyObject *unproven = prove_objects(objects, flags);
    Py_DECREF(objects);
    return unproven;
}

/* --- hashes -------------------------------------------------------------------------------------------- */

static PyObject *native_sha256d(PyObject *module, PyObject *data)
{
    uint8_t hash[32];
    (void)module;
    if (!is_bound(false)) return NULL;
    if (!PyBytes_Check(data)) return PyErr_Format(PyExc_TypeError, "only bytes are hashed");
    sha256d(PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), hash);
    return PyBytes_FromStringAndSize((const char *)hash, 32);
}

/* --- what it works with -------------------------------------------------------------------------------- */

static PyObject *native_bind_hashing(PyObject *module, PyObject *args)
{
    PyObject *library; /* as bytes */
    const char *missing;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&", PyUnicode_FSConverter, &library)) return NULL;
    bool bound = bind_hashing(PyBytes_AS_STRING(library), &missing);
    if (!bound) PyErr_Format(PyExc_ImportError, "no %s for hashes", missing);
    Py_DECREF(library);
    if (!bound) return NULL;
    Py_RETURN_NONE;
}

static PyObject *native_bind_curve(PyObject *module, PyObject *args)
{
    PyObject *numbers;
    void *addresses[CURVE_ADDRESSES];
    (void)module;
    if (!PyArg_ParseTuple(args, "O!", &PyTuple_Type, &numbers)) return NULL;
    if (PyTuple_GET_SIZE(numbers) != CURVE_ADDRESSES)
        return PyErr_Format(PyExc_ValueError, "%d addresses are wanted", CURVE_ADDRESSES);
    for (int i = 0; i < CURVE_ADDRESSES; i++) {
        addresses[i] = PyLong_AsVoidPtr(PyTuple_GET_ITEM(numbers, i));
        if (PyErr_Occurred()) return NULL;
    }
    bind_curve(addresses);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"bind_hashing", native_bind_hashing, METH_VARARGS,
     "bind_hashing(library): before all else. library: the file that hashlib's functions come from. ImportError: it\n"
     "has them not."},
    {"bind_curve", native_bind_curve, METH_VARARGS,
     "bind_curve(addresses): before prove. Of libsecp256k1's context and functions, in the order of native.h."},
    {"bind_types", native_bind_types, METH_VARARGS,
     "bind_types(OutPoint, TxIn, TxOut, Coin): before transaction and spend."},
    {"prove", native_prove, METH_VARARGS,
     "prove(runs, flags): the (number of the run, index of the input) that are not proved, in order.\n"
     "runs: a list of (raw transaction, its spent outputs, first index, index behind the last)."},
    {"transaction", native_transaction, METH_VARARGS,
     "transaction(buf, pos, allow_witness): (version, locktime, raw, number of inputs, offsets of the inputs, the\n"
     "outputs and the witnesses in raw, txid, wtxid, signature operations of old, whether it is found sound: no\n"
     "coinbase, and check_transaction takes it) of the one at buf[pos:]; None if there is none, or an odd one."},
    {"inputs", native_inputs, METH_O, "inputs(raw): those of a transaction; None as for transaction."},
    {"outputs", native_outputs, METH_O, "outputs(raw): those of a transaction; None as for transaction."},
    {"witness", native_witness, METH_O, "witness(raw): the witness stack of each input; None as for transaction."},
    {"spend", native_spend, METH_VARARGS,
     "spend(vtx, caches, height, flags): (undo, changes, fees, cost of signature operations, places of transactions\n"
     "with relative locks) of the block at height whose transactions these are; a list of outpoints where none of\n"
     "caches, a tuple of dictionaries, knows them and the block does not make them; None if anything is odd."},
    {"pack_undo", native_pack_undo, METH_O, "pack_undo(txs): the record of undo data; None where something is odd."},
    {"coin_rows", native_coin_rows, METH_VARARGS,
     "coin_rows(cache, outpoints): see chain/storage/records.py; None where something is odd."},
    {"sha256d", native_sha256d, METH_O, "sha256d(data): double SHA-256."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_part", "Common inputs proved in C; see chain/native/__init__.py.", -1, methods,
    NULL, NULL, NULL, NULL,
};

#ifndef SOURCES
#define SOURCES 0u /* setup.py gives the checksum of these files */
#endif

PyMODINIT_FUNC PyInit__part(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddObject(module, "SOURCES", PyLong_FromUnsignedLong(SOURCES)) < 0) Py_CLEAR(module);
    return module;
}
