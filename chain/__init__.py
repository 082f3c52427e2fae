"""What is true: consensus, storage, mempool and indexes.

Imports none of the other packages: it knows no peers, no private keys and no RPC. Time,
randomness, threads, files and the log reach it through `chain.ports.Ports` only.
"""
