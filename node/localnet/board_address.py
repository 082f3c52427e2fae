"""Where the network's page is, for commands that need not load all of it."""


def page_address(port: int, token: str) -> str:
    return f"http://127.0.0.1:{port}/?token={token}"
