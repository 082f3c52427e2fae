"""The header tree with what is stored of it, over a store that fails."""

from __future__ import annotations

import pytest
from long_chains import Branch

from pybitcoind.chain.block_index import BlockIndex
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
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


async def test_only_what_may_soon_be_connected_is_kept_parsed() -> None:
    blocks = await BlockStore.open(MemoryStorage(), regtest())
    index = BlockIndex(regtest(), blocks)
    await index.load()
    trunk = Branch(regtest().genesis.header, 0, [])
    assert index.take_recent(index.tree.genesis) is not None

    def add(block: Block) -> HeaderNode:
        node = index.add_header(block.header)
        index.add_block(block, node)
        return node

    for block in trunk.blocks(4):
        node = add(block)
        assert index.take_recent(node) is block and index.take_recent(node) is None
        index.tree.set_tip(node)
    aside = Branch(regtest().genesis.header, 0, [], salt=1)
    kept = {block.header.hash: index.take_recent(add(block)) is block for block in aside.blocks(6)}
    assert list(kept.values()) == [False] * 3 + [True] * 3  # of less work than the tip, or not
    index.keep_within(4 * 1000)
    taken = [index.take_recent(node) for node in [add(block) for block in aside.blocks(20)]]
    assert 800 < sum(len(block.raw) for block in taken if block is not None) <= 1000
    index.keep_within(0)
    nodes = [add(block) for block in aside.blocks(2)]
    assert index.take_recent(nodes[0]) is not None and index.take_recent(nodes[1]) is None  # one, always
    await blocks.close()
