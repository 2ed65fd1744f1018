"""What the benchmark of servers measures, and whether it can be measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from parsl_tl.benchmarks import formats
from parsl_tl.benchmarks.core.options import option
from parsl_tl.benchmarks.core.room import check_room
from parsl_tl.benchmarks.formats.bench_model import MB
from parsl_tl.errors import NativeModuleError
from parsl_tl.store.transports import transport_module

METHODS: Final = formats.measured_by("remote")
# By scheme, where a server listens: all on this machine; {} is the folder, {{}} a server's name.
TRANSPORTS: Final = {
    "grpc+tcp": "grpc+tcp://127.0.0.1:0",
    "grpc+unix": "grpc+unix://{}/{{}}.sock",
    "ofi+tcp": "ofi+tcp://127.0.0.1:0",
    "na+sm": "na+sm://",
}
_MOST = 64
# What a case takes per client in the folder, in models: one that is put and a child of it, and the
# same in a plain file and as HDF5; three of the embedded store.
_FOLDER_MODELS = 9
# And in memory: arrays to put, to read into, and in one piece for the bare transport, fresh ones,
# in the bare server, in Redis, and what is on its way.
_MEMORY_MODELS = 9
_MODEL_BYTES = 5_000  # of a model without weights, in a server's folder and memory


def missing_transports(settings: Any = None) -> dict[str, str]:
    """Returns transports that are not compiled in, with the reason of each in one line."""
    missing: dict[str, str] = {}
    for scheme in TRANSPORTS:
        try:
            transport_module(scheme)
        except (NativeModuleError, ModuleNotFoundError) as error:
            missing[scheme] = str(error)
    return missing


@dataclass(frozen=True)
class RemoteSettings:
    """What is measured."""

    sizes: tuple[float, ...] = option(
        (1.0, 16.0, 256.0), "per model, for one client and server", metavar="MB", above=0, most=1e6
    )
    clients: tuple[int, ...] = option(
        (1, 2, 4, 8), "processes that put, get and ask at once", least=1, most=_MOST
    )
    providers: tuple[int, ...] = option(
        (1, 2, 4), "servers that make up the store", least=1, most=_MOST
    )
    transports: tuple[str, ...] | None = option(
        None,
        f"of {', '.join(TRANSPORTS)} (all that are compiled in)",
        metavar="SCHEME",
        choices=tuple(TRANSPORTS),
        missing=missing_transports,
    )
    methods: tuple[str, ...] | None = option(
        None,
        f"of {', '.join(METHODS)} (all that are installed)",
        choices=METHODS,
        missing=lambda _: formats.missing_methods("remote"),
    )
    models: int = option(10_000, "that are searched for prefixes", least=1)
    catalogs: tuple[int, ...] = option(
        (1, 10, 100, 1_000),
        "models of small catalogs, beside a walk over all graphs",
        least=1,
        most=100_000,
        may_be_empty=True,
    )
    queries: int = option(2_000, "of each kind, for latencies", least=1)
    folder: Path = option(Path("/dev/shm"), "where the servers' temporary folders go")
    seed: int = option(0, "of weights, models and order", least=0)
    layers: int = 20
    total_mb: float = 16.0  # of a model, where several clients or servers take part
    small_queries: int = 200  # to each small catalog
    min_rounds: int = 5
    max_rounds: int = 31
    case_seconds: float = 6.0

    PRESETS: ClassVar[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
        "quick": (
            "small models, one server, about a minute",
            {"sizes": (1.0, 16.0), "clients": (1, 2, 8), "providers": (1,), "queries": 300}
            | {"catalogs": (1, 100), "min_rounds": 3, "max_rounds": 9, "case_seconds": 1.0},
        )
    }


def check(settings: RemoteSettings) -> RemoteSettings:
    """Returns settings that can be measured here, with numbers in order.

    Raises:
        BenchmarkError: not enough space or memory for the largest models.
    """
    names = ("sizes", "clients", "providers", "catalogs")
    in_order: dict[str, Any] = {n: tuple(sorted(set(getattr(settings, n)))) for n in names}
    settings = replace(settings, **in_order)
    moved = MB * max(max(settings.sizes), settings.total_mb * max(settings.clients))
    population = _MODEL_BYTES * settings.models
    # A server keeps what was read from it for some minutes, though the model was retired.
    kept = MB * (sum(settings.sizes) + settings.total_mb * sum(settings.clients))
    on_disk = kept + moved * _FOLDER_MODELS + population
    in_memory = moved * _MEMORY_MODELS + population
    check_room(settings.folder, on_disk, in_memory, "smaller --sizes, fewer --clients")
    return settings
