"""What a light client keeps of compact filters."""

from __future__ import annotations

from pybitcoind.chain.params import regtest
from pybitcoind.chain.storage.database import MemoryStorage
from pybitcoind.p2p.filter_store import FilterStore, HashRow


def row(height: int, branch: int = 0, disputed: bytes = b"") -> HashRow:
    return HashRow(height, bytes((branch, height)) * 16, bytes((9, branch, height, 0)) * 8, disputed)


async def test_hashes_by_height_and_what_takes_their_place() -> None:
    storage = MemoryStorage()
    store = await FilterStore.open(storage, regtest())
    await store.put_hashes(0, [row(height) for height in range(6)])
    await store.put_hashes(4, [row(4, 1), row(5, 1, bytes(64))])
    await store.put_hashes(5, [])
    await store.close()
    again = await FilterStore.open(storage, regtest())
    assert await again.hashes(0, 100) == [row(0), row(1), row(2), row(3), row(4, 1)]
    assert await again.hashes(2, 2) == [row(2), row(3)] and await again.hashes(5, 9) == []
    await again.close()


async def test_filters_and_the_height_to_begin_again_at() -> None:
    store = await FilterStore.open(MemoryStorage(), regtest())
    filters = {number.to_bytes(32, "big"): bytes((number & 0xFF,)) for number in range(1200)}
    await store.put_filters(filters.items())
    await store.put_filters([(bytes(32), b"other")])
    found = await store.filters([*filters, b"\xff" * 32])
    assert found == filters | {bytes(32): b"other"}
    assert await store.again_from() is None
    await store.put_again_from(0)
    assert await store.again_from() == 0
    await store.put_again_from(None)
    assert await store.again_from() is None
    await store.close()
