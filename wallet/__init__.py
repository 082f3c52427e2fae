"""Private keys and money: descriptors with keys, coin selection, signing and the wallet's history.

Imports chain and never p2p or node; what it needs of a running node is `wallet.chain_client.ChainClient`.
"""
