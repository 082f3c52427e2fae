"""Bytes and their meaning: reader and writer, hashes, transactions, blocks and merkle trees.

Knows nothing of scripts, storage or asyncio.
"""
