"""JSON-RPC: the server, the registry of methods, and one file of methods per category of Core's help."""
