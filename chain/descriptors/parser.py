"""From text to descriptor. Messages are those of Core's src/script/descriptor.cpp (31.99)."""

from __future__ import annotations

import re
from enum import Enum, auto

from ..params import ChainParams
from ..script import secp
from ..script.address import AddressError, decode_address
from .checksum import descriptor_checksum
from .descriptor import (
    Addr,
    Combo,
    Descriptor,
    DescriptorError,
    Multi,
    Pk,
    Pkh,
    Raw,
    RawTr,
    Sh,
    Tr,
    Wpkh,
    Wsh,
)
from .hd import HARDENED, ExtPubKey
from .keys import KeyExpression, KeyOrigin, KeySink, SingleKey, TreeKey, Wildcard

MAX_PUBKEYS_PER_MULTISIG = 20
MAX_BARE_MULTISIG_KEYS = 3
MAX_SCRIPT_ELEMENT_SIZE = 520
_MULTIPATH = re.compile(r"<([^<>]*)>")


class Context(Enum):
    TOP = auto()
    P2SH = auto()
    P2WPKH = auto()
    P2WSH = auto()
    P2TR = auto()


def parse_descriptor(
    text: str, params: ChainParams, *, require_checksum: bool = False, sink: KeySink | None = None
) -> Descriptor:
    """The descriptor that text is; DescriptorError with Core's message if it is none, or several."""
    found = parse_descriptors(text, params, require_checksum=require_checksum, sink=sink)
    if len(found) > 1:
        raise DescriptorError("Descriptor with multipath derivation path specifiers are not allowed")
    return found[0]


def parse_descriptors(
    text: str, params: ChainParams, *, require_checksum: bool = False, sink: KeySink | None = None
) -> list[Descriptor]:
    """One descriptor, or one for each item of its multipath specifiers <a;b;...> (BIP 389)."""
    payload = check_checksum(text, require_checksum)
    parser = _Parser(params, sink)
    return [parser.script(variant, Context.TOP) for variant in _variants(payload)]


def check_checksum(text: str, require: bool = False) -> str:
    """text without its checksum, which is right; DescriptorError otherwise."""
    parts = text.split("#")
    if len(parts) > 2:
        raise DescriptorError("Multiple '#' symbols")
    if len(parts) == 1 and require:
        raise DescriptorError("Missing checksum")
    if len(parts) == 2 and len(parts[1]) != 8:
        raise DescriptorError(f"Expected 8 character checksum, not {len(parts[1])} characters")
    computed = descriptor_checksum(parts[0])
    if not computed:
        raise DescriptorError("Invalid characters in payload")
    if len(parts) == 2 and parts[1] != computed:
        raise DescriptorError(f"Provided checksum '{parts[1]}' does not match computed checksum '{computed}'")
    return parts[0]


def _variants(payload: str) -> list[str]:
    """The texts that a payload with multipath specifiers stands for; itself where it has none."""
    specifiers = _MULTIPATH.findall(payload)
    if not specifiers:
        return [payload]
    items = [specifier.split(";") for specifier in specifiers]
    for values in items:
        if len(values) < 2:
            raise DescriptorError("Multipath key path specifiers must have at least two items")
        for i, value in enumerate(values):
            if value in values[:i]:
                raise DescriptorError(f"Duplicated key path value {value} in multipath specifier")
    if len({len(values) for values in items}) > 1:
        raise DescriptorError("Multipath derivation paths have mismatched lengths")
    out = []
    for i in range(len(items[0])):
        chosen = iter([values[i] for values in items])
        out.append(_MULTIPATH.sub(lambda _, chosen=chosen: next(chosen), payload))  # type: ignore[misc]
    return out


def split_arguments(text: str) -> list[str]:
    """text at its commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        if character in "({":
            depth += 1
        elif character in ")}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


class _Parser:
    def __init__(self, params: ChainParams, sink: KeySink | None) -> None:
        self.params, self.sink = params, sink

    def script(self, text: str, context: Context) -> Descriptor:
        name, bracket, rest = text.partition("(")
        if not bracket or not rest.endswith(")") or not _balanced(rest[:-1]):
            raise DescriptorError(self._no_function(text, context))
        body = rest[:-1]
        if name in ("pk", "pkh", "combo", "wpkh", "rawtr"):
            return self._one_key(name, body, context)
        if name in ("multi", "sortedmulti"):
            return self._multi(name, body, context)
        if name == "sh":
            if context is not Context.TOP:
                raise DescriptorError("Can only have sh() at top level")
            return Sh(self.params, inner=self.script(body, Context.P2SH))
        if name == "wsh":
            if context not in (Context.TOP, Context.P2SH):
                raise DescriptorError("Can only have wsh() at top level or inside sh()")
            return Wsh(self.params, inner=self.script(body, Context.P2WSH))
        if name == "tr":
            return self._tr(body, context)
        if name == "addr":
            return self._addr(body, context)
        if name == "raw":
            return self._raw(body, context)
        raise DescriptorError(self._no_function(text, context))

    @staticmethod
    def _no_function(text: str, context: Context) -> str:
        if context is Context.P2SH:
            return "A function is needed within P2SH"
        if context is Context.P2WSH:
            return "A function is needed within P2WSH"
        return f"'{text}' is not a valid descriptor function"

    def _one_key(self, name: str, body: str, context: Context) -> Descriptor:
        if name == "combo" and context is not Context.TOP:
            raise DescriptorError("Can only have combo() at top level")
        if name == "wpkh" and context not in (Context.TOP, Context.P2SH):
            raise DescriptorError("Can only have wpkh() at top level or inside sh()")
        if name == "rawtr" and context is not Context.TOP:
            raise DescriptorError("Can only have rawtr at top level")
        if name == "rawtr" and len(split_arguments(body)) > 1:
            raise DescriptorError("rawtr(): only one key expected.")
        inside = {"wpkh": Context.P2WPKH, "rawtr": Context.P2TR}.get(name, context)
        key = self._named_key(f"{name}()", body, inside)
        kinds = {"pk": Pk, "pkh": Pkh, "combo": Combo, "wpkh": Wpkh, "rawtr": RawTr}
        return kinds[name](self.params, [key])

    def _tr(self, body: str, context: Context) -> Descriptor:
        if context is not Context.TOP:
            raise DescriptorError("Can only have tr at top level")
        internal, *tree = split_arguments(body)
        key = self._named_key("tr()", internal, Context.P2TR)
        if tree:
            raise DescriptorError("tr(): script trees are not supported")
        return Tr(self.params, [key])

    def _addr(self, body: str, context: Context) -> Descriptor:
        if context is not Context.TOP:
            raise DescriptorError("Can only have addr() at top level")
        try:
            return Addr(self.params, decode_address(body, self.params))
        except AddressError:
            raise DescriptorError("Address is not valid") from None

    def _raw(self, body: str, context: Context) -> Descriptor:
        if context is not Context.TOP:
            raise DescriptorError("Can only have raw() at top level")
        if not is_hex(body):
            raise DescriptorError("Raw script is not hex")
        return Raw(self.params, bytes.fromhex(body))

    def _multi(self, name: str, body: str, context: Context) -> Descriptor:
        if context not in (Context.TOP, Context.P2SH, Context.P2WSH):
            raise DescriptorError("Can only have multi/sortedmulti at top level, in sh(), or in wsh()")
        threshold, *texts = split_arguments(body)
        if not re.fullmatch(r"[0-9]+", threshold) or int(threshold) > 0xFFFFFFFF:
            raise DescriptorError(f"Multi threshold '{threshold}' is not valid")
        required = int(threshold)
        keys = [self._named_key("Multi", text, context, separator=": ") for text in texts]
        if not 1 <= len(keys) <= MAX_PUBKEYS_PER_MULTISIG:
            raise DescriptorError(
                f"Cannot have {len(keys)} keys in multisig; must have between 1 and "
                f"{MAX_PUBKEYS_PER_MULTISIG} keys, inclusive"
            )
        if required < 1:
            raise DescriptorError(f"Multisig threshold cannot be {required}, must be at least 1")
        if required > len(keys):
            raise DescriptorError(
                "Multisig threshold cannot be larger than the number of keys; "
                f"threshold is {required} but only {len(keys)} keys specified"
            )
        if context is Context.TOP and len(keys) > MAX_BARE_MULTISIG_KEYS:
            raise DescriptorError(f"Cannot have {len(keys)} pubkeys in bare multisig; only at most 3 pubkeys")
        if context is Context.P2SH:
            size = 3 + sum(1 + (len(key.pubkey) if isinstance(key, SingleKey) else 33) for key in keys)
            if size > MAX_SCRIPT_ELEMENT_SIZE:
                raise DescriptorError(
                    f"P2SH script is too large, {size} bytes is larger than {MAX_SCRIPT_ELEMENT_SIZE} bytes"
                )
        return Multi(self.params, required, keys, name == "sortedmulti")

    # Keys

    def _named_key(self, where: str, text: str, context: Context, separator: str = ": ") -> KeyExpression:
        try:
            return self._key(text, context)
        except DescriptorError as error:
            raise DescriptorError(f"{where}{separator}{error}") from None

    def _key(self, text: str, context: Context) -> KeyExpression:
        parts = text.split("]")
        if len(parts) > 2:
            raise DescriptorError("Multiple ']' characters found for a single pubkey")
        if len(parts) == 1:
            return self._bare_key(parts[0], context, None)
        if not parts[0].startswith("["):
            got = parts[0][0] if parts[0] else "]"
            raise DescriptorError(
                f"Key origin start '[ character expected but not found, got '{got}' instead"
            )
        fingerprint, *steps = parts[0][1:].split("/")
        if len(fingerprint) != 8:
            raise DescriptorError(
                f"Fingerprint is not 4 bytes ({len(fingerprint)} characters instead of 8 characters)"
            )
        if not is_hex(fingerprint):
            raise DescriptorError(f"Fingerprint '{fingerprint}' is not hex")
        origin = KeyOrigin(bytes.fromhex(fingerprint), parse_steps(steps)[0])
        return self._bare_key(parts[1], context, origin)

    def _bare_key(self, text: str, context: Context, origin: KeyOrigin | None) -> KeyExpression:
        key, *steps = text.split("/")
        if not key:
            raise DescriptorError("No key provided")
        if key[0] == " " or key[-1] == " ":
            raise DescriptorError(f"Key '{key}' is invalid due to whitespace")
        if not steps:
            single = self._single_key(key, context)
            if single is not None:
                single.origin = origin
                return single
        root, private = ExtPubKey.decode(key, self.params), False
        if root is None and self.sink is not None:
            root = self.sink.xprv(key, self.params)
            private = root is not None
        if root is None:
            raise DescriptorError(f"key '{key}' is not valid")
        wildcard = Wildcard.NONE
        apostrophe = False
        if steps and steps[-1] in ("*", "*h", "*'"):
            wildcard = Wildcard.UNHARDENED if steps[-1] == "*" else Wildcard.HARDENED
            apostrophe = steps.pop() == "*'"
        path, marked = parse_steps(steps)
        return TreeKey(root, path, wildcard, origin, self.sink, private, apostrophe or marked)

    def _single_key(self, text: str, context: Context) -> SingleKey | None:
        uncompressed_allowed = context in (Context.TOP, Context.P2SH)
        if is_hex(text):
            data = bytes.fromhex(text)
            if len(data) == 65 and data[0] in (6, 7):
                raise DescriptorError("Hybrid public keys are not allowed")
            if len(data) in (33, 65) and secp.is_valid_pubkey(data):
                if len(data) == 65 and not uncompressed_allowed:
                    raise DescriptorError("Uncompressed keys are not allowed")
                return SingleKey(data)
            if len(data) == 32 and context is Context.P2TR and secp.is_valid_pubkey(b"\x02" + data):
                return SingleKey(b"\x02" + data, x_only=True)
            raise DescriptorError(f"Pubkey '{text}' is invalid")
        pubkey = self.sink.wif(text, self.params) if self.sink is not None else None
        if pubkey is None:
            return None
        if len(pubkey) == 65 and not uncompressed_allowed:
            raise DescriptorError("Uncompressed keys are not allowed")
        return SingleKey(pubkey, private=True)


def parse_steps(steps: list[str]) -> tuple[tuple[int, ...], bool]:
    """Steps such as "84h", "0'", "5" as numbers, and whether an apostrophe marked a hardened one."""
    path, apostrophe = [], False
    for step in steps:
        hardened = step[-1:] in ("h", "'")
        apostrophe = apostrophe or step.endswith("'")
        digits = step[:-1] if hardened else step
        if not re.fullmatch(r"[0-9]+", digits) or int(digits) > 0xFFFFFFFF:
            raise DescriptorError(f"Key path value '{step}' is not a valid uint32")
        if int(digits) >= HARDENED:
            raise DescriptorError(f"Key path value {int(digits)} is out of range")
        path.append(int(digits) | (HARDENED if hardened else 0))
    return tuple(path), apostrophe


def is_hex(text: str) -> bool:
    """Core's IsHex: an even number of hex digits, at least two."""
    return bool(re.fullmatch(r"(?:[0-9a-fA-F]{2})+", text))


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


__all__ = ["check_checksum", "parse_descriptor", "parse_descriptors"]
