"""A short regtest chain with coins that anyone may spend, and makers of transactions and blocks on top of it.

Everything is pure and always the same; tests send its parts where they like. Coins are P2WSH of OP_TRUE, so
that their spends are standard. From ODD_COINS_HEIGHT on there is also a coin for each of failing_scripts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from failing_scripts import FAILING_SCRIPTS

from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import ChainParams, regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import sha256, sha256d
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.transaction import (
    COIN,
    NULL_OUTPOINT,
    Coin,
    OutPoint,
    Transaction,
    TxIn,
    TxOut,
)

REDEEM_SCRIPT = b"\x51"
SCRIPT_PUBKEY = b"\x00\x20" + sha256(REDEEM_SCRIPT)
WITNESS = (REDEEM_SCRIPT,)
ODD_SCRIPTS = tuple(dict.fromkeys(failing.script_pubkey for failing in FAILING_SCRIPTS))
ODD_COINS_HEIGHT = 110
COMMITMENT_HEADER = bytes.fromhex("6a24aa21a9ed")
Spendable = tuple[OutPoint, Coin]


def height_push(height: int) -> bytes:
    """The start of a coinbase's script_sig (BIP 34), for heights up to 32,767."""
    if height <= 16:
        return bytes((0x50 + height,)) if height else b"\x00"
    data = height.to_bytes(1 if height < 128 else 2, "little")
    return bytes((len(data),)) + data


def commit_to_witnesses(coinbase: Transaction, txs: Sequence[Transaction]) -> Transaction:
    """coinbase with an output that commits to the witnesses of txs, and the reserved value."""
    root, _ = merkle_root([bytes(32), *(tx.wtxid for tx in txs)])
    output = TxOut(0, COMMITMENT_HEADER + sha256d(root + bytes(32)))
    return Transaction.make(
        coinbase.vin,
        [*coinbase.vout, output],
        version=coinbase.version,
        locktime=coinbase.locktime,
        witness=[[bytes(32)]],
    )


def meets_target(header: BlockHeader) -> bool:
    """Of regtest's headers, which say 0x207fffff or something like it."""
    return header.hash[31] < 0x7F


def solved(header: BlockHeader, meet: bool = True) -> BlockHeader:
    """header with the first nonce that makes it meet its target, or miss it."""
    while meets_target(header) is not meet:
        header = BlockHeader(
            header.version,
            header.prev_hash,
            header.merkle_root,
            header.time,
            header.bits,
            header.nonce + 1,
        )
    return header


@dataclass
class Scene:
    params: ChainParams
    tip: HeaderNode
    blocks: list[Block] = field(default_factory=list)
    """From height 1 on."""
    utxo: dict[OutPoint, Coin] = field(default_factory=dict)
    mature: list[Spendable] = field(default_factory=list)
    """Coins that may be spent in the next block, oldest first."""
    young: list[Spendable] = field(default_factory=list)
    """Coins of coinbases that may not, oldest first."""
    odd: dict[bytes, Spendable] = field(default_factory=dict)
    """Coins of ODD_SCRIPTS, by script."""

    @property
    def height(self) -> int:
        """Of the block to come."""
        return self.tip.height + 1

    @property
    def now(self) -> int:
        """What the clock says."""
        return self.tip.time + 60

    @property
    def subsidy(self) -> int:
        return 50 * COIN >> self.height // 150

    def spend(
        self,
        *coins: Spendable,
        outputs: Sequence[TxOut] | None = None,
        fee: int = 1000,
        sequence: int = 0xFFFFFFFF,
        locktime: int = 0,
        version: int = 2,
        witness: Sequence[Sequence[bytes]] | None = None,
    ) -> Transaction:
        """A transaction over coins, to one output less fee unless there are others."""
        if outputs is None:
            outputs = [TxOut(sum(coin.value for _, coin in coins) - fee, SCRIPT_PUBKEY)]
        return Transaction.make(
            [TxIn(outpoint, b"", sequence) for outpoint, _ in coins],
            outputs,
            version=version,
            locktime=locktime,
            witness=[WITNESS for _ in coins] if witness is None else witness,
        )

    def output(self, tx: Transaction, index: int = 0) -> Spendable:
        """An output of tx as a coin of the block to come."""
        value, script = tx.vout[index]
        return OutPoint(tx.txid, index), Coin(value, script, self.height, False)

    def coinbase(self, *, height: int | None = None, fees: int = 0, script_sig: bytes = b"") -> Transaction:
        script = script_sig or height_push(self.height if height is None else height) + b"\x00"
        return Transaction.make([TxIn(NULL_OUTPOINT, script)], [TxOut(self.subsidy + fees, SCRIPT_PUBKEY)])

    def block(
        self,
        *txs: Transaction,
        coinbase: Transaction | None = None,
        commit: bool | None = None,
        version: int = 0x20000000,
        time: int | None = None,
        bits: int | None = None,
        root: bytes | None = None,
        meet_target: bool = True,
    ) -> Block:
        """The next block with a coinbase and txs; commit: to witnesses, None means where there are any."""
        first = self.coinbase() if coinbase is None else coinbase
        if commit or (commit is None and any(tx.has_witness for tx in txs)):
            first = commit_to_witnesses(first, txs)
        vtx = [first, *txs]
        if root is None:
            root, _ = merkle_root([tx.txid for tx in vtx])
        header = BlockHeader(
            version,
            self.tip.hash,
            root,
            self.tip.time + 1 if time is None else time,
            self.tip.bits if bits is None else bits,
            0,
        )
        return Block(solved(header, meet_target), vtx)

    def extended(self, block: Block) -> Scene:
        """The scene with block, which is valid, on top."""
        height, utxo = self.height, dict(self.utxo)
        for tx in block.vtx:
            for txin in tx.vin:
                utxo.pop(txin.prevout, None)
            for n, (value, script) in enumerate(tx.vout):
                if script[:1] != b"\x6a":
                    utxo[OutPoint(tx.txid, n)] = Coin(value, script, height, tx is block.vtx[0])
        tip = HeaderNode(block.header, self.tip, block_work(block.header.bits))
        scene = Scene(self.params, tip, [*self.blocks, block], utxo)
        for outpoint, coin in utxo.items():
            if coin.script_pubkey in ODD_SCRIPTS:
                scene.odd[coin.script_pubkey] = outpoint, coin
                continue
            ripe = not coin.coinbase or height + 1 - coin.height >= 100
            (scene.mature if ripe else scene.young).append((outpoint, coin))
        return scene


@cache
def make_scene(length: int = 130) -> Scene:
    """A chain of length blocks, one a minute, whose coinbases pay SCRIPT_PUBKEY; empty but for odd coins."""
    params = regtest()
    genesis = params.genesis.header
    scene = Scene(params, HeaderNode(genesis, None, block_work(genesis.bits)))
    for height in range(1, length + 1):
        txs = []
        if height == ODD_COINS_HEIGHT:
            value = scene.mature[0][1].value // len(ODD_SCRIPTS)
            txs = [scene.spend(scene.mature[0], outputs=[TxOut(value, script) for script in ODD_SCRIPTS])]
        scene = scene.extended(scene.block(*txs, time=scene.tip.time + 60))
    return scene
