"""Every file of outside vectors is run by a test, or it is said here what is missing for it.

How many of each ran is printed at the end of a run of pytest, under "vectors" (conftest.py's `ran`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pybitcoind.chain.descriptors import parse_descriptor
from pybitcoind.chain.params import regtest
from pybitcoind.chain.script.address import ScriptHash, encode_address
from pybitcoind.chain.script.script import push_data

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "tests/unit/chain/script"
RUN_BY = {
    "core/script_tests.json": f"{SCRIPT}/test_script_vectors.py",
    "core/tx_valid.json": f"{SCRIPT}/test_script_vectors.py",
    "core/tx_invalid.json": f"{SCRIPT}/test_script_vectors.py",
    "core/sighash.json": f"{SCRIPT}/test_sighash.py",
    "core/taproot_spends.json": f"{SCRIPT}/test_taproot_spends.py",
    "core/bip341_wallet_vectors.json": f"{SCRIPT}/test_sighash.py",
    "core/blockfilters.json": "tests/unit/chain/test_block_filter.py",
    "core/key_io_valid.json": f"{SCRIPT}/test_address.py",
    "core/key_io_invalid.json": f"{SCRIPT}/test_address.py",
    "core/base58_encode_decode.json": f"{SCRIPT}/test_address.py",
    "core/rpc_bip67.json": "tests/unit/test_vectors_are_run.py",
    "core/rpc_decodescript.json": "tests/unit/node/rpc/test_decodescript.py",
    "bips/bip-0032-hd.json": "tests/unit/wallet/test_hd.py",
    "bips/bip-0158-testnet-19.json": "tests/unit/chain/test_block_filter.py",
    "bips/bip-0324-ellswift_decode_test_vectors.csv": f"{SCRIPT}/test_secp.py",
    "bips/bip-0324-packet_encoding_test_vectors.csv": f"{SCRIPT}/test_secp.py",
    "bips/bip-0340-test-vectors.csv": f"{SCRIPT}/test_secp.py",
    "bips/bip-0341-wallet-test-vectors.json": "tests/unit/wallet/test_signing.py",
}
NOT_YET = {
    "core/rpc_psbt.json": "partially signed transactions (BIP 174)",
    "bips/bip-0039-english.json": "words for seeds (BIP 39)",
    "bips/bip-0352-send_and_receive.json": "silent payments (BIP 352)",
    "bips/bip-0324-xswiftec_inv_test_vectors.csv": "the inverse map, which the library hides (BIP 324)",
}


def test_no_file_is_left_out(shared: Path) -> None:
    folder = shared / "vectors"
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "README.md"}
    assert there == RUN_BY.keys() | NOT_YET.keys()
    for name, test in RUN_BY.items():
        assert Path(name).name in (ROOT / test).read_text(), f"{test} does not read {name}"


def test_bip67(shared: Path, ran: Callable[[str, object], None]) -> None:
    """Keys of a multisig in the order of their bytes."""
    cases = json.loads((shared / "vectors/core/rpc_bip67.json").read_text())
    for case in cases:
        script = b"\x52" + b"".join(push_data(bytes.fromhex(key)) for key in case["sorted_keys"])
        script += bytes((0x50 + len(case["keys"]),)) + b"\xae"
        assert script.hex() == case["script"]
        address = encode_address(ScriptHash.of(script), regtest())
        assert address == case["address"]
        descriptor = parse_descriptor(f"sh(sortedmulti(2,{','.join(case['keys'])}))", regtest())
        assert descriptor.expand().scripts == [ScriptHash.of(script).script_pubkey]
    ran("core/rpc_bip67.json", f"{len(cases)} scripts")
