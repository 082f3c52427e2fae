"""The header tree with what is stored of it, over a store that fails."""

from __future__ import annotations

import pytest

from pybitcoind.chain.block_index import BlockIndex
from pybitcoind.chain.params import regtest
from pybitcoind.chain.storage.block_store import BlockStore
from pybitcoind.chain.storage.database import MemoryStorage, StorageError


async def test_what_could_not_be_written_is_still_to_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = await BlockStore.open(MemoryStorage(), regtest())
    index = BlockIndex(regtest(), blocks)
    await index.load()

    async def fail(rows: object) -> None:
        raise StorageError("Disk full.")

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "write_headers", fail)
        with pytest.raises(StorageError, match="Disk full"):
            await index.write()
    assert index.dirty
    await index.write()
    assert not index.dirty
    assert [row.hash for row in await blocks.load_headers()] == [regtest().genesis.hash]
    await blocks.close()
