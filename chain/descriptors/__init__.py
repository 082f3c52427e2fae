"""Output script descriptors (BIP 380 to 386) over public keys: checksum, parse, expand, infer.

Private keys never stay here: a text that holds one hands it to the caller's `KeySink` at once.
"""

from .checksum import add_checksum, descriptor_checksum
from .descriptor import Descriptor, DescriptorError, Expansion
from .infer import ScriptProvider, infer_descriptor
from .keys import KeyOrigin, KeySink
from .parser import parse_descriptor, parse_descriptors

__all__ = [
    "Descriptor",
    "DescriptorError",
    "Expansion",
    "KeyOrigin",
    "KeySink",
    "ScriptProvider",
    "add_checksum",
    "descriptor_checksum",
    "infer_descriptor",
    "parse_descriptor",
    "parse_descriptors",
]
