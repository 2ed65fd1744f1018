"""What the benchmark of servers measures, and whether it can be measured here."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Final

from parsl_tl.benchmarks.core.memory import available_bytes
from parsl_tl.benchmarks.core.redis_server import redis_missing
from parsl_tl.benchmarks.method_choice import choose_methods
from parsl_tl.benchmarks.store import TMPFS, folder_kind
from parsl_tl.benchmarks.store_models import MB
from parsl_tl.errors import BenchmarkError, NativeModuleError
from parsl_tl.store.transports import transport_module

METHODS: Final = ("memcpy", "bare", "redis", "hdf5", "embedded", "store")
TRANSPORTS: Final = {
    "grpc+tcp": "grpc+tcp://127.0.0.1:0",
    "grpc+unix": "grpc+unix://{folder}/{{}}.sock",
    "ofi+tcp": "ofi+tcp://127.0.0.1:0",
    "na+sm": "na+sm://",
}
"""By scheme, where a server listens: all on this machine; see ``address_of``."""

_MOST = 64
_MOST_SMALL = 100_000
# What a case takes per client in the folder, in models: one that is put and a child of it, and the
# same as HDF5; three of the embedded store.
_FOLDER_MODELS = 7
# And in memory: arrays to put, to read into, and in one piece for the bare transport, fresh ones,
# in the bare server, in Redis, and what is on its way.
_MEMORY_MODELS = 9
_MODEL_BYTES = 5_000  # of a model without weights, in a server's folder and memory


@dataclass(frozen=True)
class RemoteSettings:
    """What is measured; ``quick`` gives others than the default.

    Attributes:
        sizes: millions of bytes per model, for one client and one server.
        clients: processes that put, get and ask at once.
        providers: servers that make up the store.
        transports: of ``TRANSPORTS``; None takes all that are compiled in.
        methods: of ``METHODS``; None takes all that are installed.
        folder: on whose file system the servers' folders and the HDF5 files are.
        seed: of weights, models, queries, and the order in which methods follow each other.
        layers: dense layers per model, a tenth of which is also put and got by itself.
        total_mb: millions of bytes per model where several clients or servers take part.
        models: in the population that is searched for prefixes.
        queries: whose latency is measured, of each kind.
        catalogs: numbers of models of small catalogs, in which a walk over all graphs is asked too.
        small_queries: to each of these.
        min_rounds: repetitions of everything, at least.
        max_rounds: at most.
        case_seconds: between these, as many repetitions as fit this time.
    """

    sizes: tuple[float, ...] = (1.0, 16.0, 256.0)
    clients: tuple[int, ...] = (1, 2, 4, 8)
    providers: tuple[int, ...] = (1, 2, 4)
    transports: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    folder: Path = Path("/dev/shm")
    seed: int = 0
    layers: int = 20
    total_mb: float = 16.0
    models: int = 10_000
    queries: int = 2_000
    catalogs: tuple[int, ...] = (1, 10, 100, 1_000)
    small_queries: int = 200
    min_rounds: int = 5
    max_rounds: int = 31
    case_seconds: float = 6.0

    @classmethod
    def quick(cls) -> RemoteSettings:
        """A look at it in a minute: no large models, one server."""
        return cls(
            sizes=(1.0, 16.0),
            clients=(1, 2, 8),
            providers=(1,),
            queries=300,
            catalogs=(1, 100),
            min_rounds=3,
            max_rounds=9,
            case_seconds=1.0,
        )


def address_of(scheme: str, folder: Path) -> str:
    """Returns where servers listen whose files are in a folder; "{}" stands for a server's name."""
    # Of other schemes there is one address, whatever the name.
    return TRANSPORTS[scheme].format(folder=folder)


def missing_methods() -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line."""
    missing: dict[str, str] = {}
    if importlib.util.find_spec("h5py") is None:
        missing["hdf5"] = "h5py is not installed: pip install h5py"
    reason = redis_missing()
    if reason is not None:
        missing["redis"] = reason
    return missing


def missing_transports() -> dict[str, str]:
    """Returns transports that are not compiled in, with the reason of each in one line."""
    missing: dict[str, str] = {}
    for scheme in TRANSPORTS:
        try:
            _module(scheme)
        except (NativeModuleError, ModuleNotFoundError) as error:
            missing[scheme] = str(error)
    return missing


def _module(scheme: str) -> ModuleType:
    # Loaded with libfabric, libinfinipath takes over SIGINT and SIGTERM and ends the process on the
    # spot, with servers and folders left behind, unless it is told not to. Children inherit this.
    os.environ.setdefault("IPATH_NO_BACKTRACE", "1")
    return transport_module(scheme)


def bare_missing(scheme: str) -> str | None:
    """Returns why a transport cannot be measured by itself, in one line, or None."""
    if hasattr(_module(scheme), "BareServer"):
        return None
    return "parsl_tl was compiled without it, so that nothing tells what the store adds"


def check(settings: RemoteSettings) -> RemoteSettings:
    """Returns settings whose transports and methods are named.

    Raises:
        BenchmarkError: a value that cannot be, a transport or method that is not there, a folder
            that cannot be written, or not enough space or memory for the largest models.
    """
    if not settings.sizes or not all(0 < size < 1e6 for size in settings.sizes):
        raise BenchmarkError(
            f"sizes {list(settings.sizes)} must be one or more positive numbers of megabytes"
        )
    for name, values in (("clients", settings.clients), ("providers", settings.providers)):
        if not values or not all(1 <= value <= _MOST for value in values):
            raise BenchmarkError(
                f"{name} {list(values)} must be one or more numbers from 1 to {_MOST}"
            )
    if not all(1 <= models <= _MOST_SMALL for models in settings.catalogs):
        raise BenchmarkError(
            f"catalogs {list(settings.catalogs)} must be numbers of models from 1 to {_MOST_SMALL}"
        )
    for name in ("models", "queries", "small_queries"):
        value = getattr(settings, name)
        if value < 1:
            raise BenchmarkError(f"{name} {value} must be at least 1")
    if settings.seed < 0:
        raise BenchmarkError(f"seed {settings.seed} must not be negative")
    transports = _choose_transports(settings.transports)
    missing = missing_methods()
    bare = [bare_missing(scheme) for scheme in transports]
    if all(bare):
        missing["bare"] = str(bare[0])
    checked = replace(
        settings,
        sizes=tuple(sorted(set(settings.sizes))),
        clients=tuple(sorted(set(settings.clients))),
        providers=tuple(sorted(set(settings.providers))),
        catalogs=tuple(sorted(set(settings.catalogs))),
        transports=transports,
        methods=choose_methods(settings.methods, METHODS, missing),
    )
    _check_room(checked)
    return checked


def _choose_transports(asked: tuple[str, ...] | None) -> tuple[str, ...]:
    missing = missing_transports()
    if asked is None:
        return tuple(scheme for scheme in TRANSPORTS if scheme not in missing)
    for scheme in asked:
        if scheme not in TRANSPORTS:
            raise BenchmarkError(
                f"transport {scheme!r} is unknown; choose from {', '.join(TRANSPORTS)}"
            )
        if scheme in missing:
            raise BenchmarkError(f"transport {scheme!r}: {missing[scheme]}")
    if not asked:
        raise BenchmarkError(f"no transport is named; choose from {', '.join(TRANSPORTS)}")
    return tuple(scheme for scheme in TRANSPORTS if scheme in asked)


def _check_room(settings: RemoteSettings) -> None:
    moved = MB * max(max(settings.sizes), settings.total_mb * max(settings.clients))
    population = _MODEL_BYTES * settings.models
    # A server keeps what was read from it for some minutes, though the model was retired.
    kept = MB * (sum(settings.sizes) + settings.total_mb * sum(settings.clients))
    in_folder = kept + moved * _FOLDER_MODELS + population
    kind = folder_kind(settings.folder)  # raises where it cannot be written
    free = shutil.disk_usage(settings.folder).free
    if free < in_folder:
        raise BenchmarkError(
            f"{settings.folder} has {free / 1e9:.1f} GB of free space, {in_folder / 1e9:.1f} GB "
            "are needed; choose smaller --sizes, fewer --clients or another --folder"
        )
    needed = moved * _MEMORY_MODELS + population + (in_folder if kind == TMPFS else 0)
    if available_bytes() < needed:
        raise BenchmarkError(
            f"{available_bytes() / 1e9:.1f} GB of memory are available, {needed / 1e9:.1f} GB "
            "are needed; choose smaller --sizes or fewer --clients"
        )
