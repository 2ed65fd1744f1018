"""The arrays' bytes one after the other in a file: the baseline for writes, and part of a put's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from parsl_tl.benchmarks.formats.bench_model import PARTS, Array, flat
from parsl_tl.benchmarks.formats.method import FileMethod, OnFile, Reader, as_bytes

_IOV_MAX = os.sysconf("SC_IOV_MAX")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class _Files(FileMethod):
    """Written and read with one system call for many arrays."""

    name, rank, suites = "plain", 2, ("store", "remote")
    how_written = dict.fromkeys(PARTS, "writev")

    def writer(self, part: str) -> OnFile:
        return partial(_transfer, os.writev, _NEW, 0, as_bytes(self.model.arrays(part)))

    def readers(self, part: str) -> Mapping[str, Reader]:
        targets = flat(self.model.of(self.out, part))
        buffers, num_bytes = as_bytes(targets), self.model.num_bytes(part)

        def read(number: int) -> list[Array]:
            # The tenth are the last layers, so their bytes end the file.
            _transfer(os.readv, os.O_RDONLY, num_bytes, buffers, self.path(number))
            return targets

        return {"readv into": read}


def _transfer(
    call: Callable[[int, list[memoryview]], int],
    flags: int,
    from_end: int,
    buffers: list[memoryview],
    path: Path,
) -> None:
    """Calls ``writev`` or ``readv`` until all bytes have gone."""
    descriptor = os.open(path, flags, 0o644)
    try:
        # Of a file that is cut off, what is there is read.
        os.lseek(descriptor, max(0, os.fstat(descriptor).st_size - from_end), os.SEEK_SET)
        # One call carries at most 2 GiB, and may carry less than it is given.
        left = list(buffers)
        while left:
            if not (done := call(descriptor, left[:_IOV_MAX])):
                raise EOFError("the file ends before the last array")
            while left and done >= len(left[0]):
                done -= len(left.pop(0))
            if done:
                left[0] = left[0][done:]
    finally:
        os.close(descriptor)
