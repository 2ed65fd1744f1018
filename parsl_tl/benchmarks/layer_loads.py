"""How long reading a subset of a model's layers takes, from every format and from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from parsl_tl.benchmarks.core.networks import Network, check_network, network_bytes
from parsl_tl.benchmarks.core.task_runner import Where, check_where, task_runner
from parsl_tl.benchmarks.formats.files import FILE_FORMATS, format_of
from parsl_tl.benchmarks.layer_load_task import (
    COLD,
    STORE,
    LoadRow,
    Subset,
    load_file_layers,
    load_network_layers,
)
from parsl_tl.benchmarks.save_load import check_room
from parsl_tl.errors import InvalidValueError
from parsl_tl.task_process import reason_of

Progress = Callable[[float, str], None]
LOAD_FORMATS: Final = (*FILE_FORMATS, STORE)
_ROOM: Final = 1.2
# The model, a copy to compare with, what is read, and the store's mapping.
_COPIES: Final = 4


@dataclass(frozen=True)
class LoadSettings:
    """What is measured.

    Attributes:
        networks: what is written, and read.
        files: that are there, and are read; their suffixes tell the formats.
        formats: of ``LOAD_FORMATS``, for the networks.
        subsets: which layers are read, beside everything.
        repeats: of every read.
        system_wide: throw out all caches of the machine before cold reads, where permitted.
        folder: where files go; they are removed.
        where: the tasks run.
    """

    networks: tuple[Network, ...] = (Network("dense:250x20"), Network("resnet152"))
    files: tuple[Path, ...] = ()
    formats: tuple[str, ...] = LOAD_FORMATS
    subsets: tuple[Subset, ...] = (Subset(count=1), Subset(share=0.1), Subset(share=0.5))
    repeats: int = 3
    system_wide: bool = False
    folder: Path | None = None
    where: Where = field(default_factory=Where)


def check(settings: LoadSettings) -> LoadSettings:
    """Returns the settings, if they can be measured; files are looked at later.

    Raises:
        InvalidValueError: a number or a name that can never work.
        BenchmarkError: the folder is missing, or it or the memory has not enough room; a file's
            name tells no format.
    """
    if settings.repeats < 1:
        raise InvalidValueError(f"repeats={settings.repeats} must be at least 1")
    for subset in settings.subsets:
        if subset.count is not None and subset.count < 1:
            raise InvalidValueError(f"count={subset.count} must be at least 1")
        if subset.share is not None and not 0.0 < subset.share <= 1.0:
            raise InvalidValueError(f"share={subset.share} must be above 0, and at most 1")
    for network in settings.networks:
        check_network(network)
    for name in settings.formats:
        if name not in LOAD_FORMATS:
            raise InvalidValueError(
                f"unknown format {name!r}; choose from {', '.join(LOAD_FORMATS)}"
            )
    for path in settings.files:
        format_of(path)
    if not settings.networks and not settings.files:
        raise InvalidValueError("nothing to read: name a network or a file")
    check_where(settings.where)
    if settings.where.config is None and settings.networks:
        largest = max(network_bytes(network) for network in settings.networks)
        check_room(settings.folder, int(largest * _ROOM), largest * _COPIES)
    return settings


def run_load_bench(settings: LoadSettings, progress: Progress) -> list[LoadRow]:
    """Measures everything; what fails becomes a row with its reason.

    Args:
        settings: see ``check``.
        progress: called before each step.

    Raises:
        ConfigError: the executor configuration cannot be loaded.
    """
    rows: list[LoadRow] = []
    steps = list(_steps(settings))
    with task_runner(settings.where) as runner:
        for index, (label, name, function, arguments) in enumerate(steps):
            progress(index / len(steps), f"{label}, {name}")
            try:
                rows += runner.submit(function, *arguments).result()
            except Exception as error:  # whatever a task, or Parsl, comes up with
                rows.append(_failure(label, name, reason_of(error)))
    progress(1.0, "done")
    return rows


def _steps(
    settings: LoadSettings,
) -> Iterator[tuple[str, str, Callable[..., list[LoadRow]], tuple[Any, ...]]]:
    how = (settings.subsets, settings.repeats, settings.system_wide)
    folder = None if settings.folder is None else settings.folder.resolve()
    for network in settings.networks:
        for name in settings.formats:
            yield network.label, name, load_network_layers, (network, name, *how, folder)
    for path in settings.files:
        yield str(path), format_of(path), load_file_layers, (path.resolve(), *how)


def _failure(label: str, name: str, reason: str) -> LoadRow:
    """Returns the row of a model that was not read at all."""
    return LoadRow(
        time_sec=None,
        model=label,
        format=name,
        subset=Subset().label,
        layers=None,
        bytes=None,
        cache=COLD,
        successful=False,
        result=reason,
        cached_share=None,
        drop_method=None,
        file_system="unknown",
        repeat=1,
    )
