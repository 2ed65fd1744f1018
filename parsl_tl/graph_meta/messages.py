"""What ranks send each other: arrays of 8-byte words, no pickles.

A message is ``[magic and kind, number, count, length of each section..., sections...]``. A section
is an array of 8-byte items, or of pairs of uint32. The reply to a request carries its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import GraphMetaError

Words = NDArray[np.uint64]
Sections = tuple[NDArray[Any], ...]

_MAGIC: Final = 0x5047_4D31  # "PGM1", in the upper half of the first word
_HEADER: Final = 3


class Kind(IntEnum):
    """What a message says."""

    STORE = 1
    STORED = 2
    PREFIX = 3
    BEST = 4
    COUNT = 5
    COUNTED = 6
    REFUSED = 7
    FAILED = 8
    # Only in benchmarks, where every rank also walks its graphs.
    WALK_STORE = 9
    WALK = 10


_NAMES: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.STORE: ("u8", "i8", "u8", "f8"),  # ids, layer starts, keys, qualities
    Kind.STORED: (),
    Kind.PREFIX: ("i8", "u8", "u8"),  # layer starts, keys, [with layers]
    # ids, lengths, qualities, starts and positions of the layers
    Kind.BEST: ("u8", "i8", "f8", "i8", "i8"),
    Kind.COUNT: (),
    Kind.COUNTED: ("u8",),
    Kind.REFUSED: ("u1",),  # class of the error, a colon, what is wrong
    Kind.FAILED: ("u1",),
    # ids, qualities, layer starts, digests, edge starts, edges
    Kind.WALK_STORE: ("u8", "f8", "i8", "u8", "i8", "u4"),
    Kind.WALK: ("i8", "u8", "i8", "u4"),  # layer starts, digests, edge starts, edges
}


_LAYOUTS: Final = {kind: tuple(map(np.dtype, names)) for kind, names in _NAMES.items()}
_PAIRS: Final = np.dtype("u4")


class Message(NamedTuple):
    """A message.

    Attributes:
        kind: what it says.
        number: that of the request.
        sections: arrays of the dtypes in ``_LAYOUTS``; read-only views of what was received.
    """

    kind: Kind
    number: int
    sections: Sections


def encode(kind: Kind, number: int, sections: Sequence[NDArray[Any]] = ()) -> Words:
    """Returns a message as the words that are sent.

    Args:
        kind: what it says.
        number: that of the request, at least 0.
        sections: one array per section of the kind, with its dtype; edges are [m, 2].
    """
    layout = _LAYOUTS[kind]
    parts = [
        np.ascontiguousarray(section, dtype).reshape(-1).view(np.uint64)
        for section, dtype in zip(sections, layout, strict=True)
    ]
    header = [_MAGIC << 32 | kind, number, len(parts), *map(len, parts)]
    return np.concatenate([np.array(header, np.uint64), *parts])


def decode(words: Words) -> Message:
    """Reads a message.

    Raises:
        GraphMetaError: it is none: ranks of another program, or of another version, sent it.
    """
    if len(words) < _HEADER or int(words[0]) >> 32 != _MAGIC:
        raise GraphMetaError(_OTHERS.format("no message of this service"))
    try:
        kind = Kind(int(words[0]) & 0xFFFF_FFFF)
    except ValueError as error:
        raise GraphMetaError(_OTHERS.format(f"a message of an unknown kind ({error})")) from None
    layout = _LAYOUTS[kind]
    if int(words[2]) != len(layout) or len(words) < _HEADER + len(layout):
        raise GraphMetaError(_OTHERS.format(f"{kind.name} with {int(words[2])} sections"))
    lengths = [int(length) for length in words[_HEADER : _HEADER + len(layout)]]
    start = _HEADER + len(layout)
    if start + sum(lengths) != len(words):
        raise GraphMetaError(_OTHERS.format(f"{kind.name} of {len(words)} words"))
    sections = []
    for length, dtype in zip(lengths, layout, strict=True):
        section = words[start : start + length].view(dtype)
        sections.append(section.reshape(-1, 2) if dtype == _PAIRS else section)
        start += length
    return Message(kind, int(words[1]), tuple(sections))


_OTHERS = "received {}; all ranks have to run the same program, with one version of parsl_tl"


def text_section(text: str) -> NDArray[np.uint8]:
    """Returns a text as a section; it may hold no NUL."""
    data = text.replace("\0", " ").encode("utf-8", "replace")
    return np.frombuffer(data + bytes(-len(data) % 8), np.uint8)


def text_of(section: NDArray[np.uint8]) -> str:
    """Returns the text of a section."""
    return section.tobytes().rstrip(b"\0").decode("utf-8", "replace")
