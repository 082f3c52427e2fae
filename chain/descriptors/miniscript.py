"""Miniscript read back from witness scripts: fragments, their types, and whether a policy is safe to use.

A script that is the translation of a sane miniscript expression can be shown as one (decodescript). Types
and rules are those of https://bitcoin.sipa.be/miniscript and Core's src/script/miniscript.h, for P2WSH.

A type is a set of letters. Kinds: B base, V verify, K key, W wrapped. Correctness: z takes nothing off the
stack, o one item, n a nonzero one; d can be dissatisfied, u leaves 1. Malleability: e, f, s, m. x: its last
opcode has no VERIFY form. Timelocks: g and h relative by time and height, i and j absolute; k: not mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..script import secp
from ..script.opcodes import (
    OP_0,
    OP_0NOTEQUAL,
    OP_1,
    OP_16,
    OP_ADD,
    OP_BOOLAND,
    OP_BOOLOR,
    OP_CHECKLOCKTIMEVERIFY,
    OP_CHECKMULTISIG,
    OP_CHECKMULTISIGVERIFY,
    OP_CHECKSEQUENCEVERIFY,
    OP_CHECKSIG,
    OP_CHECKSIGVERIFY,
    OP_DUP,
    OP_ELSE,
    OP_ENDIF,
    OP_EQUAL,
    OP_EQUALVERIFY,
    OP_FROMALTSTACK,
    OP_HASH160,
    OP_HASH256,
    OP_IF,
    OP_IFDUP,
    OP_NOTIF,
    OP_RIPEMD160,
    OP_SHA256,
    OP_SIZE,
    OP_SWAP,
    OP_TOALTSTACK,
    OP_VERIFY,
)
from ..script.script import ScriptNumError, ScriptParseError, decode_num, is_minimal_push, iter_ops

MAX_SCRIPT_SIZE = 3600
MAX_OPS = 201
MAX_STACK_ITEMS = 100
MAX_KEYS = 20
LOCKTIME_THRESHOLD = 500_000_000
SEQUENCE_TYPE_FLAG = 1 << 22

Token = tuple[int, bytes | None]
Count = int | None
"""How many items or signature checks; None where there is no such (dis)satisfaction."""

_SPLIT = {
    OP_CHECKSIGVERIFY: OP_CHECKSIG,
    OP_CHECKMULTISIGVERIFY: OP_CHECKMULTISIG,
    OP_EQUALVERIFY: OP_EQUAL,
}
_HASHES = {
    OP_SHA256: ("sha256", 32),
    OP_HASH256: ("hash256", 32),
    OP_RIPEMD160: ("ripemd160", 20),
    OP_HASH160: ("hash160", 20),
}
_NO_AND_V_AFTER = (OP_IF, OP_ELSE, OP_NOTIF, OP_TOALTSTACK, OP_SWAP)
_LOCKS = frozenset("ghij")


class NotMiniscript(ValueError):
    """A script that is no translation of miniscript."""


@dataclass(frozen=True, slots=True)
class Node:
    """A fragment. name: as written ("pk_k", "and_v", wrappers as "v:"). number: threshold, or the lock.

    ops: opcodes it always runs; sat_ops, dsat_ops: signature checks on top; sat, dsat: witness items.
    """

    name: str
    subs: tuple[Node, ...] = ()
    number: int = 0
    data: bytes = b""
    keys: tuple[bytes, ...] = ()
    type: frozenset[str] = field(default_factory=frozenset)
    ops: int = 0
    sat_ops: Count = None
    dsat_ops: Count = None
    sat: Count = None
    dsat: Count = None

    def all_keys(self) -> list[bytes]:
        return [*self.keys, *(key for sub in self.subs for key in sub.all_keys())]

    def text(self, key_text: Callable[[bytes], str], wrapped: bool = False) -> str:
        """The expression, with the shorthands pk, pkh, t:, l:, u: and and_n."""
        colon = ":" if wrapped else ""
        if self.name == "c:" and self.subs[0].name in ("pk_k", "pk_h"):
            inner = self.subs[0]
            name = "pk" if inner.name == "pk_k" else "pkh"
            return f"{colon}{name}({key_text(inner.keys[0])})"
        if self.name.endswith(":"):
            return self.name[0] + self.subs[0].text(key_text, True)
        if self.name == "and_v" and self.subs[1].name == "1":
            return "t" + self.subs[0].text(key_text, True)
        if self.name == "or_i" and self.subs[0].name == "0":
            return "l" + self.subs[1].text(key_text, True)
        if self.name == "or_i" and self.subs[1].name == "0":
            return "u" + self.subs[0].text(key_text, True)
        if self.name == "andor" and self.subs[2].name == "0":
            parts = [sub.text(key_text) for sub in self.subs[:2]]
            return f"{colon}and_n({','.join(parts)})"
        if self.name in ("0", "1"):
            return colon + self.name
        parts = [str(self.number)] if self.name in ("older", "after", "multi", "thresh") else []
        parts += [key_text(key) for key in self.keys]
        parts += [self.data.hex()] if self.data else []
        parts += [sub.text(key_text) for sub in self.subs]
        return f"{colon}{self.name}({','.join(parts)})"


def infer_miniscript(
    script: bytes, pubkey: Callable[[bytes], bytes | None] = lambda key_hash: None
) -> Node | None:
    """The sane expression whose witness script this is; None if there is none.

    pubkey: the public key with a HASH160, where it is known; without it a key hash cannot be read.
    """
    try:
        node = _Decoder(_tokens(script), pubkey).decode()
    except (NotMiniscript, ScriptParseError, RecursionError):
        return None
    return node if is_sane(node, len(script)) else None


def is_sane(node: Node, script_size: int) -> bool:
    """Core's IsSane: usable at the top, within limits, not malleable, signed for, no timelock mix."""
    keys = node.all_keys()
    return (
        {"B", "m", "s", "k"} <= node.type
        and script_size <= MAX_SCRIPT_SIZE
        and node.sat_ops is not None
        and node.ops + node.sat_ops <= MAX_OPS
        and node.sat is not None
        and node.sat <= MAX_STACK_ITEMS
        and len(set(keys)) == len(keys)
    )


def _tokens(script: bytes) -> list[Token]:
    """Opcodes and pushes, with the VERIFY forms split in two. Pushes must be minimal."""
    tokens: list[Token] = []
    for opcode, data, _ in iter_ops(script):
        if data is not None and opcode != OP_0:
            if not is_minimal_push(data, opcode):
                raise NotMiniscript("a push that is not minimal")
            tokens.append((opcode, data))
        elif opcode in _SPLIT:
            tokens += [(_SPLIT[opcode], None), (OP_VERIFY, None)]
        elif opcode == OP_VERIFY and tokens and tokens[-1][0] in _SPLIT.values():
            raise NotMiniscript("a VERIFY that should have been joined")
        else:
            tokens.append((opcode, None))
    return tokens


class _Decoder:
    """Reads a script from its end: there every fragment shows what it is."""

    def __init__(self, tokens: list[Token], pubkey: Callable[[bytes], bytes | None]) -> None:
        self.tokens, self.pubkey = tokens, pubkey

    def decode(self) -> Node:
        node = self._expression()
        if self.tokens:
            raise NotMiniscript("something stands before it")
        return node

    def _last(self, back: int = 1) -> int:
        """The opcode so many places from the end; -1 where there is none."""
        return self.tokens[-back][0] if len(self.tokens) >= back else -1

    def _take(self, *opcodes: int) -> bool:
        """Takes these opcodes off the end, if they stand there in this order."""
        if [token[0] for token in self.tokens[-len(opcodes) :]] != list(opcodes):
            return False
        del self.tokens[-len(opcodes) :]
        return True

    def _expect(self, *opcodes: int) -> None:
        if not self._take(*opcodes):
            raise NotMiniscript("another opcode is expected")

    def _number(self) -> int:
        """Takes a number."""
        if not self.tokens:
            raise NotMiniscript("a number is expected")
        opcode, data = self.tokens.pop()
        if opcode == OP_0:
            return 0
        if OP_1 <= opcode <= OP_16:
            return opcode - OP_1 + 1
        if data is None:
            raise NotMiniscript("a number is expected")
        try:
            return decode_num(data, True, 5)
        except ScriptNumError as error:
            raise NotMiniscript(str(error)) from None

    def _key(self) -> bytes:
        _, data = self.tokens.pop() if self.tokens else (-1, None)
        if data is None or len(data) != 33 or not secp.is_valid_pubkey(data):
            raise NotMiniscript("a key is expected")
        return data

    def _expression(self) -> Node:
        """A single expression, with and_v of all that stands before it."""
        node = self._single()
        if self.tokens and self._last() not in _NO_AND_V_AFTER:
            return make("and_v", self._expression(), node)
        return node

    def _wrapped(self) -> Node:
        """An expression of type W: between the altstack's opcodes, or behind a SWAP."""
        if self._take(OP_FROMALTSTACK):
            inner = self._expression()
            self._expect(OP_TOALTSTACK)
            return make("a:", inner)
        inner = self._single()
        self._expect(OP_SWAP)
        return make("s:", inner)

    def _single(self) -> Node:
        if not self.tokens:
            raise NotMiniscript("an expression is expected")
        opcode, data = self.tokens[-1]
        if data is not None:
            return make("pk_k", keys=(self._key(),))
        reader = {
            OP_1: self._constant,
            OP_0: self._constant,
            OP_CHECKSEQUENCEVERIFY: self._lock,
            OP_CHECKLOCKTIMEVERIFY: self._lock,
            OP_CHECKMULTISIG: self._multi,
            OP_EQUAL: self._equal,
            OP_ENDIF: self._endif,
            OP_VERIFY: self._verify,
            OP_BOOLAND: self._boolean,
            OP_BOOLOR: self._boolean,
            OP_0NOTEQUAL: self._wrapper,
            OP_CHECKSIG: self._wrapper,
        }.get(opcode)
        if reader is None:
            raise NotMiniscript("an opcode that ends no expression")
        return reader()

    def _constant(self) -> Node:
        return make("1" if self.tokens.pop()[0] == OP_1 else "0")

    def _lock(self) -> Node:
        name = "older" if self.tokens.pop()[0] == OP_CHECKSEQUENCEVERIFY else "after"
        number = self._number()
        if not 1 <= number < 2**31:
            raise NotMiniscript("a lock out of range")
        return make(name, number=number)

    def _multi(self) -> Node:
        self.tokens.pop()
        count = self._number()
        if not 1 <= count <= MAX_KEYS:
            raise NotMiniscript("too many keys")
        keys = [self._key() for _ in range(count)][::-1]
        required = self._number()
        if not 1 <= required <= count:
            raise NotMiniscript("a threshold out of range")
        return make("multi", number=required, keys=tuple(keys))

    def _equal(self) -> Node:
        """A hash lock, or a threshold."""
        self.tokens.pop()
        digest = self.tokens[-1][1] if self.tokens else None
        hashed = _HASHES.get(self._last(2))
        if digest is not None and hashed is not None and len(digest) == hashed[1]:
            del self.tokens[-2:]
            self._expect(OP_EQUAL, OP_VERIFY)
            if self._number() != 32:
                raise NotMiniscript("a hash lock looks at 32 bytes")
            self._expect(OP_SIZE)
            return make(hashed[0], data=digest)
        required = self._number()
        subs: list[Node] = []
        while self._take(OP_ADD):
            subs.insert(0, self._wrapped())
        subs.insert(0, self._single())
        if not 1 <= required <= len(subs):
            raise NotMiniscript("a threshold out of range")
        return make("thresh", *subs, number=required)

    def _verify(self) -> Node:
        if self._last(2) == OP_EQUAL and self._last(4) == OP_HASH160 and self._last(5) == OP_DUP:
            digest = self.tokens[-3][1]
            if digest is not None and len(digest) == 20:
                key = self.pubkey(digest)
                if key is None or len(key) != 33:
                    raise NotMiniscript("the hash of an unknown key")
                del self.tokens[-5:]
                return make("pk_h", keys=(key,))
        self.tokens.pop()
        return make("v:", self._single())

    def _wrapper(self) -> Node:
        name = "n:" if self.tokens.pop()[0] == OP_0NOTEQUAL else "c:"
        return make(name, self._single())

    def _boolean(self) -> Node:
        name = "and_b" if self.tokens.pop()[0] == OP_BOOLAND else "or_b"
        right = self._wrapped()
        return make(name, self._single(), right)

    def _endif(self) -> Node:
        self.tokens.pop()
        last = self._expression()
        if self._take(OP_ELSE):
            middle = self._expression()
            if self._take(OP_IF):
                return make("or_i", middle, last)
            self._expect(OP_NOTIF)
            return make("andor", self._single(), last, middle)
        if self._take(OP_IF):
            if self._take(OP_DUP):
                return make("d:", last)
            self._expect(OP_SIZE, OP_0NOTEQUAL)
            return make("j:", last)
        self._expect(OP_NOTIF)
        if self._take(OP_IFDUP):
            return make("or_d", self._single(), last)
        return make("or_c", self._single(), last)


def make(name: str, *subs: Node, number: int = 0, data: bytes = b"", keys: tuple[bytes, ...] = ()) -> Node:
    """A fragment with its type and costs; NotMiniscript if its parts do not fit."""
    kind = _type(name, [sub.type for sub in subs], number)
    if len(kind & set("BVKW")) != 1:
        raise NotMiniscript(f"{name} does not fit its parts")
    ops, sat_ops, dsat_ops = _ops(name, subs, number, len(keys))
    sat, dsat = _items(name, subs, number)
    return Node(name, subs, number, data, keys, kind, ops, sat_ops, dsat_ops, sat, dsat)


# Types. `_if(letters, condition)` reads as in the specification: letters where condition holds.

Type = frozenset[str]


def _if(letters: str, condition: bool) -> Type:
    return frozenset(letters) if condition else frozenset()


def _has(kind: Type, letters: str) -> bool:
    return kind >= frozenset(letters)


def _only(kind: Type, letters: str) -> Type:
    return kind & frozenset(letters)


def _mixed(x: Type, y: Type) -> bool:
    """Both locks needed together, one by time and one by height."""
    pairs = (("g", "h"), ("h", "g"), ("i", "j"), ("j", "i"))
    return any(a in x and b in y for a, b in pairs)


def _leaf_type(name: str, number: int) -> Type | None:
    if name == "older":
        return (
            frozenset("Bzfmxk")
            | _if("g", bool(number & SEQUENCE_TYPE_FLAG))
            | _if("h", not number & SEQUENCE_TYPE_FLAG)
        )
    if name == "after":
        by_time = number >= LOCKTIME_THRESHOLD
        return frozenset("Bzfmxk") | _if("i", by_time) | _if("j", not by_time)
    fixed = {
        "0": "Bzudemsxk",
        "1": "Bzufmxk",
        "pk_k": "Konudemsxk",
        "pk_h": "Knudemsxk",
        "multi": "Bnudemsk",
        **{hashed: "Bonudmk" for hashed, _ in _HASHES.values()},
    }.get(name)
    return None if fixed is None else frozenset(fixed)


def _wrapper_type(name: str, x: Type) -> Type:
    locks = _only(x, "ghijk")
    if name == "a:":
        return _if("W", "B" in x) | locks | _only(x, "udfems") | _if("x", True)
    if name == "s:":
        return _if("W", _has(x, "Bo")) | locks | _only(x, "udfemsx")
    if name == "c:":
        return _if("B", "K" in x) | locks | _only(x, "ondfem") | _if("us", True)
    if name == "d:":
        return (
            _if("B", _has(x, "Vz"))
            | _if("o", "z" in x)
            | _if("e", "f" in x)
            | locks
            | _only(x, "ms")
            | _if("ndx", True)
        )
    if name == "v:":
        return _if("V", "B" in x) | locks | _only(x, "zonms") | _if("fx", True)
    if name == "j:":
        return _if("B", _has(x, "Bn")) | _if("e", "f" in x) | locks | _only(x, "oums") | _if("ndx", True)
    return locks | _only(x, "Bzondfems") | _if("ux", True)


def _type(name: str, subs: Sequence[Type], number: int) -> Type:
    leaf = _leaf_type(name, number)
    if leaf is not None:
        return leaf
    if name.endswith(":"):
        return _wrapper_type(name, subs[0])
    if name == "thresh":
        return _thresh_type(subs, number)
    if name == "andor":
        return _andor_type(*subs)
    x, y = subs
    either, both = x | y, x & y
    locks = _only(either, "ghij")
    if name in ("and_v", "and_b"):
        shared = (
            locks
            | _only(either, "s")
            | _if("k", "k" in both and not _mixed(x, y))
            | _only(x, "n")
            | (_only(y, "n") if "z" in x else frozenset())
            | (_only(either, "o") if "z" in either else frozenset())
        )
        if name == "and_v":
            kind = _only(y, "KVB") if "V" in x else frozenset()
            return kind | shared | _only(both, "dmz") | _if("f", "f" in y or "s" in x) | _only(y, "ux")
        kind = _only(x, "B") if "W" in y else frozenset()
        fails = "f" in both or _has(x, "sf") or _has(y, "sf")
        return (
            kind
            | shared
            | _only(both, "dzm")
            | _if("e", _has(both, "es"))
            | _if("f", fails)
            | _if("ux", True)
        )
    alternatives = locks | _only(both, "k")
    if name == "or_b":
        return (
            _if("B", _has(x, "Bd") and _has(y, "Wd"))
            | (_only(either, "o") if "z" in either else frozenset())
            | _if("m", "m" in both and "s" in either and "e" in both)
            | _only(both, "zse")
            | _if("dux", True)
            | alternatives
        )
    if name in ("or_d", "or_c"):
        kind = _only(y, "B" if name == "or_d" else "V") if _has(x, "Bdu") else frozenset()
        rest = _only(y, "ufde") if name == "or_d" else frozenset("f")
        return (
            kind
            | (_only(x, "o") if "z" in y else frozenset())
            | _if("m", "m" in both and "e" in x and "s" in either)
            | _only(both, "zs")
            | rest
            | _if("x", True)
            | alternatives
        )
    return (  # or_i
        _only(both, "VBKufs")
        | _if("o", "z" in both)
        | (_only(either, "e") if "f" in either else frozenset())
        | _if("m", "m" in both and "s" in either)
        | _only(either, "d")
        | _if("x", True)
        | alternatives
    )


def _andor_type(x: Type, y: Type, z: Type) -> Type:
    kind = _only(y & z, "BKV") if _has(x, "Bdu") else frozenset()
    path = x | (y & z)
    sure = "s" in x or "f" in y
    return (
        kind
        | _only(x & y & z, "z")
        | (_only(path, "o") if "z" in path else frozenset())
        | _only(y & z, "u")
        | (_only(z, "f") if sure else frozenset())
        | _only(z, "d")
        | (_only(z, "e") if sure else frozenset())
        | _if("m", "m" in x & y & z and "e" in x and "s" in x | y | z)
        | _only(z & (x | y), "s")
        | _if("x", True)
        | _only(x | y | z, "ghij")
        | _if("k", "k" in x & y & z and not _mixed(x, y))
    )


def _thresh_type(subs: Sequence[Type], required: int) -> Type:
    if not all(_has(kind, "Wdu" if i else "Bdu") for i, kind in enumerate(subs)):
        return frozenset()
    signed = sum("s" in kind for kind in subs)
    taken = sum(0 if "z" in kind else 1 if "o" in kind else 2 for kind in subs)
    all_e, all_m = all("e" in kind for kind in subs), all("m" in kind for kind in subs)
    locks: Type = frozenset()
    clean = True
    for kind in subs:
        clean = clean and "k" in kind and not (required > 1 and _mixed(locks, kind))
        locks |= _only(kind, "ghij")
    n = len(subs)
    return (
        frozenset("Bdu")
        | _if("z", taken == 0)
        | _if("o", taken == 1)
        | _if("e", all_e and signed == n)
        | _if("m", all_e and all_m and signed >= n - required)
        | _if("s", signed >= n - required + 1)
        | locks
        | _if("k", clean)
    )


# Costs


def _sum(*counts: Count) -> Count:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _max(*counts: Count) -> Count:
    return max((count for count in counts if count is not None), default=None)


def _best_of_threshold(pairs: Sequence[tuple[Count, Count]], required: int) -> tuple[Count, Count]:
    """(sat, dsat) where required of the parts are satisfied, at most costs."""
    sums: list[Count] = [0]
    for sat, dsat in pairs:
        without = [_sum(total, dsat) for total in sums] + [None]
        with_it = [None, *(_sum(total, sat) for total in sums)]
        sums = [_max(a, b) for a, b in zip(without, with_it, strict=True)]
    return sums[required], sums[0]


_STATIC_OPS = {
    "pk_h": 3, "older": 1, "after": 1, "multi": 1, "and_b": 1, "or_b": 1, "or_d": 3, "or_c": 2, "or_i": 3,
    "andor": 3, "s:": 1, "c:": 1, "n:": 1, "a:": 2, "d:": 3, "j:": 4,
    **{hashed: 4 for hashed, _ in _HASHES.values()},
}  # fmt: skip


def _ops(name: str, subs: Sequence[Node], number: int, keys: int) -> tuple[int, Count, Count]:
    ops = sum(sub.ops for sub in subs) + _STATIC_OPS.get(name, 0)
    if name == "v:":
        ops += "x" in subs[0].type
    if name == "thresh":
        sat, dsat = _best_of_threshold([(sub.sat_ops, sub.dsat_ops) for sub in subs], number)
        return ops + len(subs), sat, dsat
    if name == "multi":
        return ops, keys, keys
    return (ops, *_choice(name, [(sub.sat_ops, sub.dsat_ops) for sub in subs], _LEAF_OPS, 0))


_LEAF_OPS: dict[str, tuple[Count, Count]] = {
    "0": (None, 0), "1": (0, None), "pk_k": (0, 0), "pk_h": (0, 0), "older": (0, None), "after": (0, None),
    **{hashed: (0, None) for hashed, _ in _HASHES.values()},
}  # fmt: skip
_LEAF_ITEMS: dict[str, tuple[Count, Count]] = {
    "0": (None, 0), "1": (0, None), "pk_k": (1, 1), "pk_h": (2, 2), "older": (0, None), "after": (0, None),
    **{hashed: (1, None) for hashed, _ in _HASHES.values()},
}  # fmt: skip


def _items(name: str, subs: Sequence[Node], number: int) -> tuple[Count, Count]:
    if name == "multi":
        return number + 1, number + 1
    pairs = [(sub.sat, sub.dsat) for sub in subs]
    if name == "thresh":
        return _best_of_threshold(pairs, number)
    return _choice(name, pairs, _LEAF_ITEMS, 1)


def _choice(
    name: str, subs: Sequence[tuple[Count, Count]], leaves: dict[str, tuple[Count, Count]], selector: int
) -> tuple[Count, Count]:
    """(sat, dsat) of a fragment from those of its parts. selector: cost of choosing a branch."""
    if name in leaves:
        return leaves[name]
    (sat, dsat), *rest = subs
    if name in ("a:", "s:", "c:", "n:"):
        return sat, dsat
    if name == "v:":
        return sat, None
    if name == "d:":
        return _sum(sat, selector), selector
    if name == "j:":
        return sat, selector
    sat2, dsat2 = rest[0]
    if name == "and_v":
        return _sum(sat, sat2), None
    if name == "and_b":
        return _sum(sat, sat2), _sum(dsat, dsat2)
    if name == "or_b":
        return _max(_sum(sat, dsat2), _sum(dsat, sat2)), _sum(dsat, dsat2)
    if name == "or_c":
        return _max(sat, _sum(dsat, sat2)), None
    if name == "or_d":
        return _max(sat, _sum(dsat, sat2)), _sum(dsat, dsat2)
    if name == "or_i":
        return _max(_sum(sat, selector), _sum(sat2, selector)), _max(
            _sum(dsat, selector), _sum(dsat2, selector)
        )
    sat3, dsat3 = rest[1]  # andor
    return _max(_sum(sat, sat2), _sum(dsat, sat3)), _sum(dsat, dsat3)
