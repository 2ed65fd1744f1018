"""Transfer methods: how a candidate gets weights from earlier models, and leaves its own."""

from parsl_tl.transfer.hdf5 import Hdf5Transfer
from parsl_tl.transfer.method import Stored, TransferMethod, Transferred
from parsl_tl.transfer.none import NoTransfer
from parsl_tl.transfer.redis import RedisTransfer
from parsl_tl.transfer.registry import (
    ENTRY_POINT_GROUP,
    get_transfer_method,
    list_transfer_methods,
)
from parsl_tl.transfer.safetensors import SafetensorsTransfer
from parsl_tl.transfer.store import StoreTransfer

__all__ = [
    "ENTRY_POINT_GROUP",
    "Hdf5Transfer",
    "NoTransfer",
    "RedisTransfer",
    "SafetensorsTransfer",
    "StoreTransfer",
    "Stored",
    "TransferMethod",
    "Transferred",
    "get_transfer_method",
    "list_transfer_methods",
]
