"""The running node: options, life cycle, roles, RPC, command line and the local network. Imports all."""
