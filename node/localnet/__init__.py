"""A Bitcoin network of several nodes on one machine, as processes, in one command.

Talks to its nodes through their options and JSON-RPC only, as any outside program would.
"""
