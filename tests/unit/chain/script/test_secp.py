"""libsecp256k1 through its wrapper: BIP 340 and BIP 324 vectors, lax DER, signing as Core signs."""

from __future__ import annotations

import csv
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pybitcoind.chain.script import secp
from pybitcoind.chain.script.encoding import is_low_s, is_strict_der

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = hashlib.sha256(b"key").digest()
MSG = hashlib.sha256(b"message").digest()


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_bip340(shared: Path, ran: Callable[[str, object], None]) -> None:
    rows = read(shared / "vectors/bips/bip-0340-test-vectors.csv")
    others = 0
    for row in rows:
        key, msg, sig = (bytes.fromhex(row[name]) for name in ("public key", "message", "signature"))
        if len(msg) != 32:  # transactions sign 32 bytes; the library underneath takes any
            others += 1
            good = secp._schnorr_verify(secp._static, sig, msg, len(msg), secp._parse_xonly(key))
            assert bool(good) == (row["verification result"] == "TRUE") and not secp.verify_schnorr(
                key, sig, msg
            )
            continue
        if row["secret key"]:
            secret = bytes.fromhex(row["secret key"])
            assert secp.pubkey_of(secret)[1:] == key
            assert secp.sign_schnorr(secret, msg, bytes.fromhex(row["aux_rand"])) == sig
        assert secp.verify_schnorr(key, sig, msg) == (row["verification result"] == "TRUE"), row["index"]
    ran(
        "bips/bip-0340-test-vectors.csv", f"{len(rows)} signatures, {others} of them over other than 32 bytes"
    )
    assert len(rows) == 19 and others == 4


def test_ellswift(shared: Path, ran: Callable[[str, object], None]) -> None:
    rows = read(shared / "vectors/bips/bip-0324-ellswift_decode_test_vectors.csv")
    for row in rows:
        assert secp.ellswift_decode(bytes.fromhex(row["ellswift"]))[1:].hex() == row["x"]
    ran("bips/bip-0324-ellswift_decode_test_vectors.csv", f"{len(rows)} keys")
    rows = read(shared / "vectors/bips/bip-0324-packet_encoding_test_vectors.csv")
    for row in rows:
        ours, theirs = bytes.fromhex(row["in_ellswift_ours"]), bytes.fromhex(row["in_ellswift_theirs"])
        initiating = row["in_initiating"] == "1"
        pair = (ours, theirs) if initiating else (theirs, ours)
        shared_secret = secp.ellswift_xdh(*pair, bytes.fromhex(row["in_priv_ours"]), initiating)
        assert shared_secret.hex() == row["mid_shared_secret"]
    ran("bips/bip-0324-packet_encoding_test_vectors.csv", f"{len(rows)} shared secrets")
    ell = secp.ellswift_create(KEY, MSG)
    assert secp.ellswift_decode(ell)[1:] == secp.pubkey_of(KEY)[1:]


def der(r: bytes, s: bytes) -> bytes:
    body = bytes((2, len(r))) + r + bytes((2, len(s))) + s
    return bytes((0x30, len(body))) + body


def test_lax_der() -> None:
    """All that OpenSSL let pass before BIP 66 still counts."""
    sig = secp.sign_ecdsa(KEY, MSG)
    pubkey = secp.pubkey_of(KEY)
    compact = secp.parse_lax_der(sig)
    assert compact is not None
    r, s = compact[:32], compact[32:]
    high_s = (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    lax = {
        "strict": sig,
        "strict, high S": der(r, b"\0" + high_s),
        "negative S": der(r, high_s),
        "padded": der(b"\0" * 9 + r, b"\0\0" + s),
        "garbage behind": sig + b"garbage",
        "wrong length of the whole": b"\x30\x00" + sig[2:],
        "long length of the whole": b"\x30\x82\xff\xff" + sig[2:],
        "long lengths": b"\x30\x00\x02\x84\0\0\0\x20" + r + b"\x02\x81\x20" + s,
        "very long length": b"\x30\x00\x02\x88" + bytes(7) + b"\x20" + r + b"\x02\x81\x20" + s,
    }
    for name, form in lax.items():
        assert secp.verify_ecdsa(pubkey, form, MSG), name
        assert not secp.verify_ecdsa(pubkey, form, KEY), name
        assert is_strict_der(form + b"\x01") == name.startswith("strict"), name
    bad = [
        b"",
        b"\x30",
        b"\x31" + sig[1:],
        sig[:-1],
        b"\x30\x85\0\0" + sig[2:],
        b"\x30\x00\x02\x84\x01\0\0\0" + r + b"\x02\x20" + s,
        der(r, s[:-1] + bytes((s[-1] ^ 1,))),
        der((int.from_bytes(r, "big") + ORDER).to_bytes(33, "big"), s),
        der(b"", s),
        der(r, b""),
    ]
    for form in bad:
        assert not secp.verify_ecdsa(pubkey, form, MSG), form.hex()
    high = der(r, b"\0" + high_s)
    assert secp.verify_ecdsa_der(pubkey, sig + b"\x01", MSG)
    assert secp.verify_ecdsa_der(pubkey, high + b"\x01", MSG)
    assert not secp.verify_ecdsa_der(pubkey, high + b"\x01", MSG, high_s=False)
    assert not secp.verify_ecdsa_der(pubkey, sig + b"\x01", KEY)
    for name, form in lax.items():  # C's own parser takes what BIP 66 takes and no more
        assert secp.verify_ecdsa_der(pubkey, form + b"\x01", MSG) == name.startswith("strict"), name
    assert is_low_s(sig + b"\x01") and not is_low_s(der(r, b"\0" + high_s) + b"\x01")
    assert is_low_s(der(r, b"\0" + (ORDER + 1).to_bytes(32, "big")) + b"\x01")  # as Core: it reads as zero


def test_sizes_are_checked() -> None:
    pubkey = secp.pubkey_of(KEY)
    assert not secp.verify_ecdsa(b"", secp.sign_ecdsa(KEY, MSG), MSG)
    assert not secp.verify_ecdsa(pubkey[:32], secp.sign_ecdsa(KEY, MSG), MSG)
    assert not secp.verify_ecdsa(pubkey, secp.sign_ecdsa(KEY, MSG), MSG[:31])
    sig = secp.sign_schnorr(KEY, MSG)
    assert secp.verify_schnorr(pubkey[1:], sig, MSG)
    assert not secp.verify_schnorr(pubkey, sig, MSG)
    assert not secp.verify_schnorr(pubkey[1:], sig[:63], MSG)
    assert not secp.verify_schnorr(pubkey[1:], sig, MSG[:31])
    assert not secp.tweak_check(pubkey[1:], 0, pubkey[1:], b"")
    for bad in (b"", bytes(32), ORDER.to_bytes(32, "big"), bytes(31) + b"\x01\x01"):
        assert not secp.is_valid_seckey(bad)
        with pytest.raises(ValueError, match="secret key"):
            secp.sign_ecdsa(bad, MSG)
    assert not secp.is_valid_pubkey(b"\x02" + b"\xff" * 32) and secp.is_valid_pubkey(pubkey)
    assert not secp.is_valid_xonly(b"\xff" * 32) and secp.is_valid_xonly(pubkey[1:])


def test_keys() -> None:
    pubkey, tweak = secp.pubkey_of(KEY), hashlib.sha256(b"tweak").digest()
    tweaked = secp.seckey_tweak_add(KEY, tweak)
    assert tweaked is not None and secp.pubkey_tweak_add(pubkey, tweak) == secp.pubkey_of(tweaked)
    even = KEY if pubkey[0] == 2 else secp.seckey_negate(KEY)
    tweaked = secp.seckey_tweak_add(even, tweak)
    assert tweaked is not None
    point = secp.pubkey_of(tweaked)
    assert secp.xonly_tweak_add(pubkey[1:], tweak) == (point[1:], point[0] & 1)
    assert secp.tweak_check(point[1:], point[0] & 1, pubkey[1:], tweak)
    assert not secp.tweak_check(point[1:], 1 - (point[0] & 1), pubkey[1:], tweak)
    long = secp.pubkey_of(KEY, compressed=False)
    assert secp.convert_pubkey(long, True) == pubkey and secp.convert_pubkey(pubkey, False) == long
    hybrid = bytes((6 + (long[-1] & 1),)) + long[1:]
    assert secp.verify_ecdsa(hybrid, secp.sign_ecdsa(KEY, MSG), MSG)
    assert secp.pubkey_combine([pubkey, secp.pubkey_of(secp.seckey_negate(KEY))]) is None
    assert secp.seckey_tweak_add(KEY, secp.seckey_negate(KEY)) is None


def test_signing() -> None:
    secp.blind(MSG)
    for i in range(40):
        msg = hashlib.sha256(bytes((i,))).digest()
        sig = secp.sign_ecdsa(KEY, msg)
        assert len(sig) <= 70 and is_strict_der(sig + b"\x01") and is_low_s(sig + b"\x01")
        assert secp.verify_ecdsa(secp.pubkey_of(KEY), sig, msg)
        for compressed in (True, False):
            recoverable = secp.sign_recoverable(KEY, msg, compressed)
            assert secp.recover(recoverable, msg) == secp.pubkey_of(KEY, compressed)
    assert secp.recover(bytes(65), MSG) is None
    # Core's key_tests: deterministic signatures of Hash("Very deterministic message")
    msg = hashlib.sha256(hashlib.sha256(b"Very deterministic message").digest()).digest()
    secret = bytes.fromhex("12b004fff7f4b69ef8650e767f18f11ede158148b425660723b9f9a66e61f747")
    assert secp.sign_ecdsa(secret, msg).hex() == (
        "304402205dbbddda71772d95ce91cd2d14b592cfbc1dd0aabd6a394b6c2d377bbe59d31d"
        "022014ddda21494a4e221f0824f0b8b924c43fa43c0ad57dccdaa11f81a6bd4582f6"
    )


def test_threads_do_not_share_buffers() -> None:
    cases = []
    for i in range(8):
        key, msg = hashlib.sha256(bytes((i,))).digest(), hashlib.sha256(bytes((99, i))).digest()
        cases.append((secp.pubkey_of(key), secp.sign_ecdsa(key, msg), msg, secp.sign_schnorr(key, msg)))
    wrong: list[int] = []

    def run(i: int) -> None:
        pubkey, sig, msg, schnorr = cases[i]
        for _ in range(50):
            good = secp.verify_ecdsa(pubkey, sig, msg) and secp.verify_schnorr(pubkey[1:], schnorr, msg)
            bad = secp.verify_ecdsa(pubkey, cases[i - 1][1], msg)
            if not good or bad:
                wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
