"""A search whose executors are lost goes on with new ones."""

from __future__ import annotations

import logging
from collections.abc import Callable

from parsl_tl.errors import ExecutorsLostError, InfrastructureError
from parsl_tl.search.journal import Journal
from parsl_tl.search.progress import SearchProgress

logger = logging.getLogger(__name__)


def with_new_executors(
    run: Callable[[], None], journal: Journal, progress: SearchProgress, *, possible: bool
) -> None:
    """Runs a search, and again with executors of its own if all are lost.

    Args:
        run: starts executors, goes on from the journal, and ends what it started.
        journal: of the search.
        progress: of the search.
        possible: the configuration can be made again.

    Raises:
        ExecutorsLostError: the executors are lost, and have finished nothing since they started.
    """
    while True:
        before = journal.num_finished
        try:
            return run()
        except InfrastructureError as error:
            is_lost = isinstance(error, ExecutorsLostError)
            if not is_lost or not possible or journal.num_finished == before:
                # Whoever looks at the folder later knows nothing but its log.
                logger.error("the search ends, and is carried on by --resume: %s", error)
                raise
            logger.warning("the executors are started anew: %s", error)
            progress.restarted()
