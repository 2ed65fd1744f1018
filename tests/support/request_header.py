"""The bytes in front of every message to a store's server, for tests that send messages by hand."""

import struct

from parsl_tl.native import native

# As cpp-store/protocol/frame.hpp has them.
_HEADER = struct.Struct("<4sHH32s16sQQIIQ16s16s8s")


def request_header(
    kind,
    *,
    token=bytes(32),
    client=bytes(16),
    bulk_bytes=0,
    number=0,
    server=(0, 0),
    stores=0,
    store=bytes(16),
    trace=bytes(16),
    span=bytes(8),
):
    """Returns a header of the protocol's present version."""
    return _HEADER.pack(
        b"PTLQ", native.PROTOCOL_VERSION, kind, token, client, bulk_bytes, number, *server,
        stores, store, trace, span,
    )  # fmt: skip
