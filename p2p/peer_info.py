"""What getpeerinfo says of a peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .connection import Traffic
from .messages import service_names
from .permissions import permission_names

if TYPE_CHECKING:
    from .peer import Peer
    from .sync import BlockSync


def _by_command(traffic: Traffic) -> dict[str, int]:
    return {name: size for name, size in sorted(traffic.by_command.items()) if size}


def peer_info(peer: Peer, sync: BlockSync) -> dict[str, Any]:
    """Core's keys in Core's order; minfeefilter in satoshis per 1000 vbytes, times in seconds."""
    features, connection, tx = peer.features, peer.connection, peer.transactions
    headers = sync.headers.peers.get(peer.id)
    blocks = sync.download.peers.get(peer.id)
    addresses = getattr(peer, "addresses", None)
    info: dict[str, Any] = {"id": peer.id, "addr": peer.name}
    if peer.bind.is_valid:
        info["addrbind"] = str(peer.bind)
    if features.local_address.is_valid:
        info["addrlocal"] = str(features.local_address)
    info |= {
        "network": peer.address.network_name,
        "services": f"{features.services:016x}",
        "servicesnames": service_names(features.services),
        "relaytxes": tx is not None and tx.wants,
        "last_inv_sequence": tx.last_sequence if tx else 0,
        "inv_to_send": len(tx.to_send) if tx else 0,
        "lastsend": connection.sent.last,
        "lastrecv": connection.received.last,
        "last_transaction": peer.last_tx_time,
        "last_block": peer.last_block_time,
        "bytessent": connection.sent.total,
        "bytesrecv": connection.received.total,
        "conntime": int(peer.connected_at),
        "timeoffset": features.time_offset,
    }
    if peer.last_ping:
        info["pingtime"] = round(peer.last_ping, 6)
    if peer.min_ping is not None:
        info["minping"] = round(peer.min_ping, 6)
    if peer.ping_nonce and (wait := peer.context.now() - peer.ping_started) > 0:
        info["pingwait"] = round(wait, 6)
    presync = headers.low_work if headers else None
    best, common = (blocks.best_known, blocks.last_common) if blocks else (None, None)
    info |= {
        "version": features.version,
        "subver": features.subver,
        "inbound": peer.inbound,
        "bip152_hb_to": peer.announces_compact,
        "bip152_hb_from": features.high_bandwidth,
        "presynced_headers": presync.presync_height if presync else -1,
        "synced_headers": best.height if best else -1,
        "synced_blocks": common.height if common else -1,
        "inflight": [node.height for node in blocks.in_flight.values()] if blocks else [],
        "addr_relay_enabled": addresses is not None and addresses.enabled,
        "addr_processed": addresses.processed if addresses else 0,
        "addr_rate_limited": addresses.rate_limited if addresses else 0,
        "permissions": permission_names(peer.permissions),
        "minfeefilter": tx.fee_filter_received if tx else 0,
        "bytessent_per_msg": _by_command(connection.sent),
        "bytesrecv_per_msg": _by_command(connection.received),
        "connection_type": peer.kind.value,
        "transport_protocol_type": connection.transport,
        "session_id": "",
    }
    return info
