"""What this node relays and mines beyond what the rules allow: standardness, fees, replacement, packages.

Plain functions over transactions and coins. Policy must not know the mempool, storage or the network.
Followed: Bitcoin Core 31.99, src/policy/*.
"""
