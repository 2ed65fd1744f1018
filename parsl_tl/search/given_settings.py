"""Settings as users give them, for a new campaign or again for one that is carried on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parsl_tl.errors import CampaignError
from parsl_tl.imports import add_import_folders
from parsl_tl.problems.registry import resolve_paths
from parsl_tl.search.kept_figures import RANK_BY
from parsl_tl.search.model_storage import resolve_arguments
from parsl_tl.search.settings import (
    NONE_KEEPS_NOTHING,
    CampaignSettings,
    resolve_names,
    with_policy,
)
from parsl_tl.search.store_uri import check_relocation, resolve


def new_settings(store: str, given: Mapping[str, Any]) -> CampaignSettings:
    """Returns the settings of a new campaign, with paths that hold in other folders, too.

    Args:
        store: URI of its store, as users name it.
        given: all other settings.

    Raises:
        ParslTLError: a setting that there is not, or a value that it does not take.
    """
    settings = CampaignSettings(store=resolve(store), **with_policy(resolve_names(given)))
    if settings.rank_by not in RANK_BY:
        raise CampaignError(f"rank_by is {settings.rank_by!r}; choose one of {', '.join(RANK_BY)}")
    if settings.transfer == "none":
        warnings.warn(NONE_KEEPS_NOTHING, FutureWarning, 3)
    transfer_args = resolve_arguments(settings.transfer, settings.transfer_args)
    add_import_folders(settings.import_folders)
    problem_args = resolve_paths(settings.problem, settings.problem_args)
    return replace(settings, transfer_args=transfer_args, problem_args=problem_args)


def resumed_settings(
    folder: Path, expected: Mapping[str, Any], store: str | None
) -> CampaignSettings:
    """Reads the settings of a campaign.

    Args:
        folder: of the campaign.
        expected: settings that must be its own; None values are passed over.
        store: where the servers of its store are now; None if they have not moved.

    Raises:
        CampaignError: there is no campaign in the folder, or its settings are others.
    """
    settings = CampaignSettings.read(folder / "config.json")
    wanted = resolve_names(dict(expected))
    if settings.from_scratch and wanted.get("transfer") == "none":
        del wanted["transfer"]  # as it was called when the campaign was started
    if wanted.get("transfer_args"):
        wanted["transfer_args"] = resolve_arguments(settings.transfer, wanted["transfer_args"])
    if wanted.get("problem_args"):
        add_import_folders(settings.import_folders)
        wanted["problem_args"] = resolve_paths(settings.problem, wanted["problem_args"])
    if wanted.get("training") and "unfreeze_after" not in wanted["training"]:
        # Where nothing is said of it, it is what the campaign was started with.
        own_policy = {n: v for n, v in settings.training.items() if n == "inherit"}
        wanted["training"] = {**own_policy, **wanted["training"]}
    for name, (own, given) in settings.differences(wanted).items():
        raise CampaignError(
            f"the campaign in {folder} has {name}={own!r}, not {given!r}; "
            "leave the option out, or start a new campaign in another folder"
        )
    if store is None:
        return settings
    return replace(settings, store=check_relocation(settings.store, store))
