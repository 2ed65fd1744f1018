"""What only a driver needs, imported while it waits for others."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

logger = logging.getLogger(__name__)

# DeepHyper, and the libraries of statistics that it imports.
_MODULE: Final = "parsl_tl.search.driven"


@contextmanager
def importing_meanwhile() -> Iterator[None]:
    """Imports it in a thread that is begun here; who imports it, too, waits for it."""
    thread = threading.Thread(target=_import, name="driver-imports", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import() -> None:
    try:
        importlib.import_module(_MODULE)
    except Exception:  # who needs it meets the same
        logger.info("an import fails", exc_info=True)
