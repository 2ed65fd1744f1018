"""What a campaign tells the run functions of all evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parsl_tl.search.admission import MILLISECONDS
from parsl_tl.store.uri import is_remote
from parsl_tl.training.namespaces import TRAINING_KEYS
from parsl_tl.training.worker_note import FOLDER as NOTES_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from parsl_tl.search.model_storage import ModelStorage
    from parsl_tl.search.settings import CampaignSettings

KNOWN_TRAINING = (*TRAINING_KEYS, "threads")
"""What a campaign's ``training`` may hold."""


def shared_parameters(
    settings: CampaignSettings, storage: ModelStorage, folder: Path | None = None
) -> dict[str, Any]:
    """Returns the settings that all evaluations share; see ``run_transfer_trainer``.

    Args:
        settings: of the campaign; an older one may hold training keys that never meant anything.
        storage: where its models are.
        folder: of the campaign, in which workers note what they are at; None for no notes.
    """
    training = {
        name: settings.training[name] for name in TRAINING_KEYS if name in settings.training
    }
    shared = {
        "problem": settings.problem,
        "problem_args": settings.problem_args,
        "space": settings.space,
        "space_args": settings.space_args,
        "hyperparameters": settings.hyperparameters,
        "donors": settings.donors,
        "import_folders": settings.import_folders,
        "seed": settings.seed,
        **storage.parameters,
        "training": training,
        "attributes": {"campaign": settings.uid},
    }
    if settings.prefix_cache or settings.share_data:
        shared["node_cache"] = {
            "run": settings.uid,
            "prefix_bytes": settings.prefix_cache,
            "data_bytes": settings.share_data,
        }
    # Several servers know each other; of one alone, only its campaigns remember which it was.
    if settings.has_store and is_remote(settings.store) and len(settings.store_ids) == 1:
        (shared["store_id"],) = settings.store_ids
    if folder is not None:
        shared["notes_folder"] = str(folder / NOTES_FOLDER)
    if MILLISECONDS in settings.minimize:
        shared["time_prediction"] = True
    if "threads" in settings.training:
        shared["threads"] = settings.training["threads"]
    return shared
