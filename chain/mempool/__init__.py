"""Unconfirmed transactions: which are taken in, in what order they are mined, which are dropped.

Everything that changes the pool runs on the owner task (chain/manager.py). The mempool must not know the
network or the RPC server; others hear of changes by events.
"""
