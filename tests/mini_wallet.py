"""A small wallet for tests of chain and p2p, and blocks to go with it; needs nothing of wallet/.

`MiniWallet` owns outputs of one kind and makes spends of them with a chosen fee. `mine` makes a block on top
of a header. `MemoryChain` is a chain of such blocks in memory with coins at its tip: blocks are not checked,
so tests of validation take a real ChainManager instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from pybitcoind.chain.block_template import assemble, solve, with_transactions
from pybitcoind.chain.consensus.context import HeaderContext
from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import ChainParams, regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.transaction import Coin, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.script import is_unspendable
from pybitcoind.chain.script.sighash import TxDigests, segwit_v0_sighash
from pybitcoind.chain.script.taproot import output_key, tapleaf_hash

OP_TRUE = b"\x51"
MATURITY = 100
UNCONFIRMED = 0x7FFFFFFF
DEFAULT_SECRET = bytes(31) + b"\x01"
_INTERNAL_KEY = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
_SIGHASH_ALL = 1


class Kind(Enum):
    """What an output asks of its spender: nothing, by P2WSH or by a taproot script path; or a signature."""

    P2WSH_TRUE = auto()
    P2TR_TRUE = auto()
    P2WPKH = auto()


@dataclass(frozen=True, slots=True)
class Utxo:
    """height: of the block, UNCONFIRMED in the mempool."""

    outpoint: OutPoint
    value: int
    height: int = UNCONFIRMED
    coinbase: bool = False

    def coin(self, script_pubkey: bytes) -> Coin:
        return Coin(self.value, script_pubkey, self.height, self.coinbase)


class MiniWallet:
    """utxos: what it owns and has not handed out, oldest first."""

    def __init__(self, kind: Kind = Kind.P2WSH_TRUE, secret: bytes = DEFAULT_SECRET) -> None:
        self.kind, self.secret = kind, secret
        self.pubkey = secp.pubkey_of(secret)
        self.utxos: list[Utxo] = []
        if kind is Kind.P2WSH_TRUE:
            self.script_pubkey = b"\x00\x20" + sha256(OP_TRUE)
        elif kind is Kind.P2TR_TRUE:
            key = output_key(_INTERNAL_KEY, tapleaf_hash(0xC0, OP_TRUE))
            assert key is not None
            self.script_pubkey = b"\x51\x20" + key[0]
            self._control = bytes((0xC0 | key[1],)) + _INTERNAL_KEY
        else:
            self.script_pubkey = b"\x00\x14" + hash160(self.pubkey)

    def scan_tx(self, tx: Transaction, height: int = UNCONFIRMED) -> None:
        """Forgets what tx spends and takes in what it pays to us."""
        spent = {txin.prevout for txin in tx.vin}
        known = {OutPoint(tx.txid, i) for i in range(len(tx.vout))}
        self.utxos = [u for u in self.utxos if u.outpoint not in spent and u.outpoint not in known]
        for i, out in enumerate(tx.vout):
            if out.script_pubkey == self.script_pubkey:
                self.utxos.append(Utxo(OutPoint(tx.txid, i), out.value, height, tx.is_coinbase))

    def scan_block(self, block: Block, height: int) -> None:
        for tx in block.vtx:
            self.scan_tx(tx, height)

    def take(self, tip_height: int, *, confirmed: bool = True, least: int = 0) -> Utxo:
        """The first output that the block after tip_height may spend; it is the caller's from now on."""
        for i, utxo in enumerate(self.utxos):
            mature = not utxo.coinbase or tip_height + 1 - utxo.height >= MATURITY
            if mature and utxo.value >= least and (not confirmed or utxo.height != UNCONFIRMED):
                return self.utxos.pop(i)
        raise LookupError("no output is ready to be spent")

    def spend(
        self,
        *utxos: Utxo,
        outputs: Sequence[TxOut] = (),
        change: int = 1,
        fee: int | None = None,
        feerate: int = 3000,
        version: int = 2,
        locktime: int = 0,
        sequence: int | Sequence[int] = 0xFFFFFFFD,
    ) -> Transaction:
        """Spends utxos, all of this wallet, to outputs and in equal parts to change outputs of our own.

        fee: satoshis; else as feerate (satoshis per 1000 vbytes) asks. With change=0 the rest is the fee.
        """
        sequences = [sequence] * len(utxos) if isinstance(sequence, int) else sequence
        vin = [TxIn(utxo.outpoint, b"", n) for utxo, n in zip(utxos, sequences, strict=True)]
        left = sum(utxo.value for utxo in utxos) - sum(out.value for out in outputs)

        def made(paid: int) -> Transaction:
            each, rest = divmod(left - paid, change) if change else (0, 0)
            own = [TxOut(each + (rest if i == 0 else 0), self.script_pubkey) for i in range(change)]
            tx = Transaction.make(vin, (*outputs, *own), version=version, locktime=locktime)
            return self.sign(tx, utxos)

        return made(-(-made(0).vsize * feerate // 1000) if fee is None else fee)

    def sign(self, tx: Transaction, utxos: Sequence[Utxo]) -> Transaction:
        """tx with the witnesses for its first inputs, which spend utxos in order; others stay as they are."""
        spent = [TxOut(utxo.value, self.script_pubkey) for utxo in utxos]
        witness = [self._witness(tx, i, out) for i, out in enumerate(spent)]
        witness += [tx.witness_of(i) for i in range(len(spent), len(tx.vin))]
        return Transaction.make(tx.vin, tx.vout, version=tx.version, locktime=tx.locktime, witness=witness)

    def _witness(self, tx: Transaction, index: int, spent: TxOut) -> tuple[bytes, ...]:
        if self.kind is Kind.P2WSH_TRUE:
            return (OP_TRUE,)
        if self.kind is Kind.P2TR_TRUE:
            return OP_TRUE, self._control
        code = b"\x76\xa9\x14" + hash160(self.pubkey) + b"\x88\xac"
        digest = segwit_v0_sighash(code, tx, index, _SIGHASH_ALL, spent.value, TxDigests(tx))
        return secp.sign_ecdsa(self.secret, digest) + bytes((_SIGHASH_ALL,)), self.pubkey


def outputs_of(tx: Transaction, script_pubkey: bytes) -> list[Utxo]:
    """The unconfirmed outputs of tx to script_pubkey."""
    return [
        Utxo(OutPoint(tx.txid, i), out.value)
        for i, out in enumerate(tx.vout)
        if out.script_pubkey == script_pubkey
    ]


def mine(
    prev: HeaderContext,
    params: ChainParams,
    script_pubkey: bytes,
    txs: Sequence[Transaction] = (),
    *,
    time: int = 0,
    fees: int = 0,
    extra_nonce: bytes | None = None,
) -> Block:
    """A solved block on top of prev, ten minutes later unless time says more; fees are not claimed."""
    when = max(time, prev.time + 600)
    block = assemble(prev, None, params, script_pubkey, when, extra_nonce=extra_nonce).block
    solved, _ = solve(with_transactions(block, txs) if txs else block, 1_000_000)
    assert solved is not None
    return solved


class MemoryChain:
    """Blocks and coins in memory, as much of a chain as acceptance looks at."""

    def __init__(self, params: ChainParams | None = None) -> None:
        self.params = params or regtest()
        genesis = self.params.genesis
        self.nodes = [HeaderNode(genesis.header, None, block_work(genesis.header.bits))]
        self.blocks: list[Block] = [genesis]
        self.coins: dict[OutPoint, Coin] = {}
        self._undo: list[dict[OutPoint, Coin]] = [{}]
        self.trips = 0
        """How often coins were asked for."""
        self.is_current = True

    @property
    def tip(self) -> HeaderNode:
        return self.nodes[-1]

    @property
    def height(self) -> int:
        return self.tip.height

    async def get_coins(self, outpoints: Sequence[OutPoint]) -> Mapping[OutPoint, Coin | None]:
        self.trips += 1
        return {outpoint: self.coins.get(outpoint) for outpoint in outpoints}

    def connect(self, block: Block) -> None:
        assert block.header.prev_hash == self.tip.hash
        height = self.height + 1
        undo: dict[OutPoint, Coin] = {}
        for tx in block.vtx:
            for txin in tx.vin if not tx.is_coinbase else ():
                undo[txin.prevout] = self.coins.pop(txin.prevout)
            for i, out in enumerate(tx.vout):
                if not is_unspendable(out.script_pubkey):
                    self.coins[OutPoint(tx.txid, i)] = Coin(
                        out.value, out.script_pubkey, height, tx.is_coinbase
                    )
        self.nodes.append(HeaderNode(block.header, self.tip, block_work(block.header.bits)))
        self.blocks.append(block)
        self._undo.append(undo)

    def disconnect(self) -> Block:
        self.nodes.pop()
        block = self.blocks.pop()
        self.coins.update(self._undo.pop())
        for tx in block.vtx:
            for i in range(len(tx.vout)):
                self.coins.pop(OutPoint(tx.txid, i), None)
        return block

    def generate(
        self, count: int, wallet: MiniWallet, txs: Sequence[Transaction] = (), *, time: int = 0
    ) -> list[Block]:
        """Mines count blocks to wallet, the first with txs, and lets it scan them."""
        made = []
        for _ in range(count):
            block = mine(self.tip, self.params, wallet.script_pubkey, txs, time=time)
            self.connect(block)
            wallet.scan_block(block, self.height)
            made.append(block)
            txs = ()
        return made
