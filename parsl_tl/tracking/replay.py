"""Telling callbacks of a search from its folder: one that is over, or runs elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from parsl_tl.report.run import read_run
from parsl_tl.search.callbacks import SearchInfo, evaluation_of
from parsl_tl.search.journal import read_journal

if TYPE_CHECKING:
    from parsl_tl.search.callbacks import SearchCallback


def replay_run(folder: str | os.PathLike[str], callbacks: Sequence[SearchCallback]) -> int:
    """Tells callbacks of a search what its folder has of it, and returns how many evaluations.

    Trackers take only what they do not have: it may be called again when a search has gone on.

    Args:
        folder: of the campaign.
        callbacks: who is told; what they raise is raised.

    Raises:
        CampaignError: there is no campaign, or its journal is damaged.
    """
    run = read_run(folder)
    journal = run.folder / "journal.jsonl"
    rows = read_journal(journal) if journal.is_file() else []
    evaluations = [evaluation_of(row, run.space) for row in rows]
    search = SearchInfo(run.folder, run.settings, run.space)
    for one in callbacks:
        one.on_search_begin(search, evaluations)
        if not run.is_active:
            one.on_search_end()
    return len(evaluations)
