"""The networks: main, testnet4, signet and regtest. Source: Core src/kernel/chainparams.cpp (31.99)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from .primitives.block import Block, BlockHeader
from .primitives.hashes import hash_from_hex, hash_hex, sha256d
from .primitives.merkle import merkle_root
from .primitives.serialize import var_bytes
from .primitives.transaction import COIN, NULL_OUTPOINT, Transaction, TxIn, TxOut

CORE_VERSION = 319900
"""The release of Bitcoin Core whose behaviour, names and error tokens we follow."""

NEVER_ACTIVE = -2
ALWAYS_ACTIVE = -1
NO_TIMEOUT = 2**63 - 1


class Bip9Deployment(NamedTuple):
    """A soft fork signalled by version bits (BIP 9). start and timeout: median time past, seconds."""

    bit: int
    start_time: int = NEVER_ACTIVE
    timeout: int = NO_TIMEOUT
    min_activation_height: int = 0
    threshold: int = 1815
    period: int = 2016


class AssumeUtxo(NamedTuple):
    """A UTXO set that may be loaded instead of being computed (assumeutxo).

    hash_serialized: of all its coins (hash_serialized_3), internal order. chain_tx_count: transactions in the
    chain up to the block.
    """

    height: int
    hash_serialized: bytes
    chain_tx_count: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class ChainParams:
    """Everything in which networks differ. Hashes in internal order, targets as int."""

    name: str
    """As in getblockchaininfo: main, testnet4, signet, regtest, or that of a chain of one's own."""
    subdir: str
    """Directory below the data directory; empty for main."""
    magic: bytes
    port: int
    rpc_port: int
    genesis: Block
    pow_limit: int
    pow_target_timespan: int = 14 * 24 * 60 * 60
    pow_target_spacing: int = 10 * 60
    pow_allow_min_difficulty: bool = False
    pow_no_retargeting: bool = False
    enforce_bip94: bool = False
    halving_interval: int = 210_000
    bip34_height: int = 1
    bip34_hash: bytes = bytes(32)
    bip65_height: int = 1
    bip66_height: int = 1
    csv_height: int = 1
    segwit_height: int = 1
    deployments: Mapping[str, Bip9Deployment] = field(default_factory=lambda: MappingProxyType({}))
    script_flag_exceptions: Mapping[bytes, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Block hash to the names of the flags that hold in it instead of P2SH, WITNESS and TAPROOT."""
    minimum_chainwork: int = 0
    assume_valid: bytes = bytes(32)
    assume_utxo: tuple[AssumeUtxo, ...] = ()
    """The snapshots that loadtxoutset takes, lowest first."""
    signet_challenge: bytes = b""
    prune_after_height: int = 1000
    pubkey_prefix: bytes = b"\x6f"
    script_prefix: bytes = b"\xc4"
    secret_prefix: bytes = b"\xef"
    xpub_prefix: bytes = bytes.fromhex("043587cf")
    xprv_prefix: bytes = bytes.fromhex("04358394")
    bech32_hrp: str = "tb"
    dns_seeds: tuple[str, ...] = ()
    mockable: bool = False
    """setmocktime and the test-only RPC methods work here."""
    definition: str = ""
    """Of a chain of one's own (custom_chain.py): 16 hex digits that tell it from others of the same name."""

    @property
    def difficulty_interval(self) -> int:
        """Blocks between retargets."""
        return self.pow_target_timespan // self.pow_target_spacing

    def snapshot_at(self, block_hash: bytes) -> AssumeUtxo | None:
        """What is known of the UTXO set at that block, if it may be loaded."""
        return next((known for known in self.assume_utxo if known.block_hash == block_hash), None)

    @property
    def is_test_chain(self) -> bool:
        return self.name != "main"

    @property
    def coin_type(self) -> int:
        """BIP 44 coin type."""
        return 1 if self.is_test_chain else 0


GENESIS_TEXT = b"The Times 03/Jan/2009 Chancellor on brink of second bailout for banks"
GENESIS_PUBKEY = bytes.fromhex(
    "04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5f"
)
_TESTNET4_TEXT = b"03/May/2024 000000000000000000001ebd58c244970b3aa9d783bb001011fbe8ea8e98e00e"
_OP_CHECKSIG, _OP_PUSHDATA1 = b"\xac", b"\x4c"


def make_genesis(
    time: int,
    nonce: int,
    bits: int,
    *,
    text: bytes = GENESIS_TEXT,
    pubkey: bytes = GENESIS_PUBKEY,
    version: int = 1,
    reward: int = 50 * COIN,
) -> Block:
    """The first block of a chain from its parts: coinbase text, the key it pays, the header's numbers."""
    push_text = bytes((len(text),)) if len(text) < 76 else _OP_PUSHDATA1 + bytes((len(text),))
    script_sig = bytes.fromhex("04ffff001d0104") + push_text + text
    coinbase = Transaction.make(
        [TxIn(NULL_OUTPOINT, script_sig)],
        [TxOut(reward, var_bytes(pubkey) + _OP_CHECKSIG)],
        version=1,
    )
    root, _ = merkle_root([coinbase.txid])
    return Block(BlockHeader(version, bytes(32), root, time, bits, nonce), [coinbase])


def _checked(genesis: Block, block_hash: str, root: str) -> Block:
    if hash_hex(genesis.hash) != block_hash or hash_hex(genesis.header.merkle_root) != root:
        raise AssertionError(f"genesis block {hash_hex(genesis.hash)} is not {block_hash}")
    return genesis


_ROOT = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"


def _testdummy(threshold: int, period: int = 2016, start: int = NEVER_ACTIVE) -> Mapping[str, Bip9Deployment]:
    return MappingProxyType({"testdummy": Bip9Deployment(28, start, threshold=threshold, period=period)})


def _snapshots(*rows: tuple[int, str, int, str]) -> tuple[AssumeUtxo, ...]:
    """From height, hash_serialized_3, transactions up to there, and block hash."""
    return tuple(
        AssumeUtxo(height, hash_from_hex(digest), count, hash_from_hex(block_hash))
        for height, digest, count, block_hash in rows
    )


@cache
def main() -> ChainParams:
    return ChainParams(
        name="main",
        subdir="",
        magic=bytes.fromhex("f9beb4d9"),
        port=8333,
        rpc_port=8332,
        genesis=_checked(
            make_genesis(1231006505, 2083236893, 0x1D00FFFF),
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
            _ROOT,
        ),
        pow_limit=(1 << 224) - 1,
        bip34_height=227931,
        bip34_hash=hash_from_hex("000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8"),
        bip65_height=388381,
        bip66_height=363725,
        csv_height=419328,
        segwit_height=481824,
        deployments=_testdummy(1815),
        script_flag_exceptions=MappingProxyType(
            {
                hash_from_hex("00000000000002dc756eebf4f49723ed8d30cc28a5f108eb94b1ba88ac4f9c22"): (),
                hash_from_hex("0000000000000000000f14c35b2d841e986ab5441de8c585d5ffe55ea1e395ad"): (
                    "P2SH",
                    "WITNESS",
                ),
            }
        ),
        minimum_chainwork=0x1128750F82F4C366153A3A030,
        assume_valid=hash_from_hex("00000000000000000000ccebd6d74d9194d8dcdc1d177c478e094bfad51ba5ac"),
        prune_after_height=100_000,
        pubkey_prefix=b"\x00",
        script_prefix=b"\x05",
        secret_prefix=b"\x80",
        xpub_prefix=bytes.fromhex("0488b21e"),
        xprv_prefix=bytes.fromhex("0488ade4"),
        bech32_hrp="bc",
        assume_utxo=_snapshots(
            (
                840_000,
                "a2a5521b1b5ab65f67818e5e8eccabb7171a517f9e2382208f77687310768f96",
                991_032_194,
                "0000000000000000000320283a032748cef8227873ff4872689bf23f1cda83a5",
            ),
            (
                880_000,
                "dbd190983eaf433ef7c15f78a278ae42c00ef52e0fd2a54953782175fbadcea9",
                1_145_604_538,
                "000000000000000000010b17283c3c400507969a9c2afd1dcf2082ec5cca2880",
            ),
            (
                910_000,
                "4daf8a17b4902498c5787966a2b51c613acdab5df5db73f196fa59a4da2f1568",
                1_226_586_151,
                "0000000000000000000108970acb9522ffd516eae17acddcb1bd16469194a821",
            ),
            (
                935_000,
                "e4b90ef9eae834f56c4b64d2d50143cee10ad87994c614d7d04125e2a6025050",
                1_305_397_408,
                "0000000000000000000147034958af1652b2b91bba607beacc5e72a56f0fb5ee",
            ),
        ),
        dns_seeds=(
            "seed.bitcoin.sipa.be.",
            "dnsseed.bluematt.me.",
            "seed.bitcoin.jonasschnelli.ch.",
            "seed.btc.petertodd.net.",
            "seed.bitcoin.sprovoost.nl.",
            "dnsseed.emzy.de.",
            "seed.bitcoin.wiz.biz.",
            "seed.mainnet.achownodes.xyz.",
        ),
    )


@cache
def testnet4() -> ChainParams:
    return ChainParams(
        name="testnet4",
        subdir="testnet4",
        magic=bytes.fromhex("1c163f28"),
        port=48333,
        rpc_port=48332,
        genesis=_checked(
            make_genesis(1714777860, 393743547, 0x1D00FFFF, text=_TESTNET4_TEXT, pubkey=bytes(33)),
            "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
            "7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e",
        ),
        pow_limit=(1 << 224) - 1,
        pow_allow_min_difficulty=True,
        enforce_bip94=True,
        deployments=_testdummy(1512),
        minimum_chainwork=0x9A0FE15D0177D086304,
        assume_valid=hash_from_hex("0000000002368b1e4ee27e2e85676ae6f9f9e69579b29093e9a82c170bf7cf8a"),
        assume_utxo=_snapshots(
            (
                90_000,
                "784fb5e98241de66fdd429f4392155c9e7db5c017148e66e8fdbc95746f8b9b5",
                11_347_043,
                "0000000002ebe8bcda020e0dd6ccfbdfac531d2f6a81457191b99fc2df2dbe3b",
            ),
            (
                120_000,
                "10b05d05ad468d0971162e1b222a4aa66caca89da2bb2a93f8f37fb29c4794b0",
                14_141_057,
                "000000000bd2317e51b3c5794981c35ba894ce27d3e772d5c39ecd9cbce01dc8",
            ),
        ),
        dns_seeds=("seed.testnet4.bitcoin.sprovoost.nl.", "seed.testnet4.wiz.biz."),
    )


_SIGNET_CHALLENGE = bytes.fromhex(
    "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430"
    "210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae"
)


@cache
def signet(challenge: bytes | None = None) -> ChainParams:
    """BIP 325. challenge: the block script of a signet of one's own; None is the public one."""
    script = _SIGNET_CHALLENGE if challenge is None else challenge
    public = challenge is None
    return ChainParams(
        name="signet",
        subdir="signet",
        magic=sha256d(var_bytes(script))[:4],
        port=38333,
        rpc_port=38332,
        genesis=_checked(
            make_genesis(1598918400, 52613770, 0x1E0377AE),
            "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
            _ROOT,
        ),
        pow_limit=0x377AE << 216,
        deployments=_testdummy(1815),
        signet_challenge=script,
        minimum_chainwork=0xB463EA0A4B8 if public else 0,
        assume_valid=hash_from_hex("00000008414aab61092ef93f1aacc54cf9e9f16af29ddad493b908a01ff5c329")
        if public
        else bytes(32),
        assume_utxo=_snapshots(
            (
                160_000,
                "fe0a44309b74d6b5883d246cb419c6221bcccf0b308c9b59b7d70783dbdf928a",
                2_289_496,
                "0000003ca3c99aff040f2563c2ad8f8ec88bd0fd6b8f0895cfaf1ef90353a62c",
            ),
            (
                290_000,
                "97267e000b4b876800167e71b9123f1529d13b14308abec2888bbd2160d14545",
                28_547_497,
                "0000000577f2741bb30cd9d39d6d71b023afbeb9764f6260786a97969d5c9ac0",
            ),
        ),
        dns_seeds=("seed.signet.bitcoin.sprovoost.nl.", "seed.signet.achownodes.xyz.") if public else (),
    )


@cache
def regtest() -> ChainParams:
    return ChainParams(
        name="regtest",
        subdir="regtest",
        magic=bytes.fromhex("fabfb5da"),
        port=18444,
        rpc_port=18443,
        genesis=_checked(
            make_genesis(1296688602, 2, 0x207FFFFF),
            "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
            _ROOT,
        ),
        pow_limit=(1 << 255) - 1,
        pow_target_timespan=24 * 60 * 60,
        pow_allow_min_difficulty=True,
        pow_no_retargeting=True,
        halving_interval=150,
        segwit_height=0,
        deployments=_testdummy(108, 144, start=0),
        bech32_hrp="bcrt",
        assume_utxo=_snapshots(
            (
                110,
                "b952555c8ab81fec46f3d4253b7af256d766ceb39fb7752b9d18cdf4a0141327",
                111,
                "6affe030b7965ab538f820a56ef56c8149b7dc1d1c144af57113be080db7c397",
            ),
            (
                200,
                "17dcc016d188d16068907cdeb38b75691a118d43053b8cd6a25969419381d13a",
                201,
                "385901ccbd69dff6bbd00065d01fb8a9e464dede7cfe0372443884f9b1dcf6b9",
            ),
            (
                299,
                "d2b051ff5e8eef46520350776f4100dd710a63447a8e01d917e92e79751a63e2",
                334,
                "7cc695046fec709f8c9394b6f928f81e81fd3ac20977bb68760fa1faa7916ea2",
            ),
        ),
        dns_seeds=("dummySeed.invalid.",),
        mockable=True,
    )


NETWORKS = MappingProxyType({"main": main, "testnet4": testnet4, "signet": signet, "regtest": regtest})

__all__ = [
    "NETWORKS",
    "Bip9Deployment",
    "ChainParams",
    "main",
    "make_genesis",
    "regtest",
    "signet",
    "testnet4",
]
