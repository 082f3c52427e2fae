"""The rules a header, a transaction and a block must keep: plain functions over what the caller fetched.

Knows nothing of storage, asyncio or the clock: coins, headers and the time are handed in. A rule that is
broken raises BlockInvalid or TxInvalid with Bitcoin Core's token; the order of the checks is Core's as well,
since it decides which token wins.
"""
