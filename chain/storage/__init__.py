"""Blocks, undo data, headers and coins on disk: what is kept, in which file, in which order of writing.

Knows primitives and records; knows no rules. Only database.py knows SQLite. The tables, all in one place:

blocks/index.sqlite            headers (80 bytes, status, position of body and undo), files
blocks/blkNNNNN.sqlite         bodies, undo: blocks of up to 128 MiB a file
chainstate/chainstate.sqlite   coins, and in meta the block they stand for
indexes/NAME.sqlite            each index (chain/indexes)

Each has a table meta (network, ...) and its version of the tables in SQLite's user_version (migrations.py).

Order of writing: bodies and undo, then header rows, then coins with their block; so a coins tip always finds
its header, block and undo, after a kill and after a power cut.
"""
