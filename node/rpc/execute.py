"""Runs one RPC method: what goes wrong comes out as RpcError, whether HTTP asked or a test beside us."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from pybitcoind.chain.owner import OwnerStopped
from pybitcoind.chain.storage.database import StorageError

from .amounts import Json, write_json
from .context import RpcContext
from .errors import RpcCode, RpcError, internal_bug

if TYPE_CHECKING:
    from ..app import Node


async def execute(
    node: Node,
    name: str,
    params: Json,
    *,
    wallet: str | None = None,
    user: str = "",
    check_result: bool = False,
) -> tuple[Json, str]:
    """(result, the same as JSON text). Only RpcError and CancelledError come out; a storage that fails stops
    the node."""
    try:
        context = RpcContext(node, wallet, user)
        result = await node.registry.find(name).call(context, params, check_result=check_result)
        return result, write_json(result)
    except RpcError:
        raise
    except OwnerStopped:
        raise RpcError(RpcCode.CLIENT_NOT_CONNECTED, "Shutting down") from None
    except StorageError as error:
        node.fail(error)
        raise RpcError(RpcCode.DATABASE_ERROR, str(error)) from None
    except Exception as error:
        node.ports.log.error(f"{name} failed:\n{traceback.format_exc()}")
        raise internal_bug(f"{type(error).__name__}: {error}") from None
