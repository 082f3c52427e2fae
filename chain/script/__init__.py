"""Scripts: opcodes, script bytes, addresses, signature hashes, the interpreter and its short cuts.

Scripts are plain `bytes`. Knows transactions (chain.primitives), but no storage, no asyncio and no chain.
`verify.verify_input` is the front door; `secp` is the one file that touches libsecp256k1.
"""
