"""The machine on which something was measured, as a reader needs it to compare figures."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from parsl_tl.reporting.files import replace_file

_PACKAGES = (
    *("parsl-tl", "numpy", "pandas", "pyarrow", "parsl", "deephyper", "keras", "tensorflow"),
    *("tensorflow-cpu", "networkx", "redis", "safetensors", "h5py"),
)


def machine_facts() -> dict[str, Any]:
    """Returns what a reader needs to compare numbers: host, processor, memory (bytes), versions."""
    return {
        "host": platform.node(),
        "cpu": _cpu_model() or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def write_machine_facts(folder: Path) -> Path:
    """Writes ``machine_facts`` to ``machine.json`` in a results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(machine_facts(), indent=2) + "\n"
    return replace_file(folder / "machine.json", lambda path: path.write_text(text))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not on Linux
        return ""
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
