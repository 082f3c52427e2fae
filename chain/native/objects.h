/* Python's objects, for the files here that make them; with the interpreter's lock. */

#ifndef PYBITCOIND_OBJECTS_H
#define PYBITCOIND_OBJECTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "native.h"

/* --- module.c ------------------------------------------------------------------------------------------ */

/* Sets an error, and is false, before bind_hashing and bind_curve have been called. */
bool is_bound(bool curve_too);

/* --- objects.c ----------------------------------------------------------------------------------------- */

/* bind_types has been called. */
bool types_are_bound(void);

/* An OutPoint of 36 bytes, and a Coin. */
PyObject *make_outpoint(const uint8_t *at);
PyObject *make_coin(int64_t value, Bytes script, PyObject *height, bool coinbase);

/* An OutPoint of an output of the transaction txid. */
PyObject *make_own_outpoint(PyObject *txid, size_t vout);

/* What a bytes object holds, and a new one. */
Bytes bytes_in(PyObject *object);
PyObject *bytes_of(const uint8_t *at, size_t size);

/* The number that object is, if it is one from 0 to most. */
bool number_of(PyObject *object, int64_t most, int64_t *n);

/* Puts a new item, which is given away, behind the others; false, with an error, if it is NULL or there is no room. */
bool append(PyObject *list, PyObject *item);

/* What is given back to Python: made, or NULL with the error that is set, or None where something is odd. */
PyObject *made_or_none(PyObject *made);

PyObject *native_bind_types(PyObject *module, PyObject *args);
PyObject *native_transaction(PyObject *module, PyObject *args);
PyObject *native_inputs(PyObject *module, PyObject *raw);
PyObject *native_outputs(PyObject *module, PyObject *raw);
PyObject *native_witness(PyObject *module, PyObject *raw);

/* --- spend.c ------------------------------------------------------------------------------------------- */

PyObject *native_spend(PyObject *module, PyObject *args);

/* --- records.c ----------------------------------------------------------------------------------------- */

PyObject *native_pack_undo(PyObject *module, PyObject *txs);
PyObject *native_coin_rows(PyObject *module, PyObject *args);

#endif
