"""The arrays' bytes one after the other in a file: the baseline for writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl.benchmarks.formats.bench_model import Array, flat
from parsl_tl.benchmarks.formats.operation import FileMethod, Reader, as_bytes

_IOV_MAX = os.sysconf("SC_IOV_MAX")


class PlainFiles(FileMethod):
    """Written and read with one system call for many arrays."""

    name = "plain"

    def writer(self, part: str) -> tuple[str, Callable[[Path], Any]]:
        """See ``FileMethod``."""
        sources = as_bytes(self.model.arrays(part))

        def write(path: Path) -> None:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                _transfer(os.writev, descriptor, sources)
            finally:
                os.close(descriptor)

        return "writev", write

    def readers(self, part: str) -> list[Reader]:
        """See ``FileMethod``."""
        targets = flat(self.model.of(self.out, part))
        buffers = as_bytes(targets)
        # The tenth are the last layers, so their bytes end the file.
        start = self.model.num_bytes() - self.model.num_bytes(part)

        def read(path: Path) -> list[Array]:
            _read_from(path, start, buffers)
            return targets

        return [("readv into", read)]

    def written(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        arrays = [np.empty_like(array) for array in self.model.arrays(part)]
        _read_from(path, 0, as_bytes(arrays))
        return arrays


def _read_from(path: Path, start: int, buffers: list[memoryview]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.lseek(descriptor, start, os.SEEK_SET)
        _transfer(os.readv, descriptor, buffers)
    finally:
        os.close(descriptor)


def _transfer(
    call: Callable[[int, Sequence[Any]], int], descriptor: int, buffers: list[memoryview]
) -> None:
    """Calls ``writev`` or ``readv`` until all bytes have gone."""
    # One call carries at most 2 GiB, and may carry less than it is given.
    left = list(buffers)
    while left:
        done = call(descriptor, left[:_IOV_MAX])
        if done == 0:
            raise EOFError("the file ends before the last array")
        gone = 0
        while gone < len(left) and done >= len(left[gone]):
            done -= len(left[gone])
            gone += 1
        del left[:gone]
        if done:
            left[0] = left[0][done:]
