"""The network: Bitcoin's wire protocol, peers, synchronisation and relay.

Imports chain and never wallet or node. Everything but the few asyncio files works without a socket.
"""
