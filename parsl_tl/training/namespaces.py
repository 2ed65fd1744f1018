"""Whose a key of a job is: the architecture's, the training's, or the evaluation's.

Searches hand over flat mappings, in which a search space's choice may be called ``batch_size``.
What a key means follows from who gives it. In a job, a key that is called as a choice of the space
is that choice, unless the choices are in ``choices``. Among the settings that all evaluations
share, it is what its name says without the space. ``training`` and ``choices`` are mappings in
which there is nothing to tell apart. What may be meant either way is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from parsl_tl.deprecation import Renamed, renamed_keys, same
from parsl_tl.errors import InvalidValueError
from parsl_tl.suggestions import check_names, did_you_mean

TRAINING_KEYS: Final = (
    *("epochs", "batch_size", "learning_rate", "optimizer", "optimizer_args", "clip_norm"),
    *("schedule", "dtype_policy", "objective"),
    *("early_stopping_patience", "unfreeze_after", "jit_compile"),
    *("inherit", "cut_prefix", "frontier_limit", "batch_growth"),
)
"""How a candidate is trained."""

_EVALUATION_KEYS: Final = (
    *("problem", "problem_args", "space", "space_args", "hyperparameters", "import_folders"),
    *("arch_seq", "job", "model_id", "parent", "from_scratch", "donors", "seed", "attributes"),
    *("transfer_method", "store", "store_id", "transfer_args", "overlap_store", "threads"),
    *("time_prediction", "notes_folder", "node_cache"),
)

OLD_TRAINING_KEYS: Final[Renamed] = {"patience": ("early_stopping_patience", same)}
OLD_KEYS: Final[Renamed] = {
    **OLD_TRAINING_KEYS,
    "transfer": ("from_scratch", lambda value: None if value is None else not value),
}
"""Keys of earlier releases, with what they became and how."""

JOB_KEYS: Final = frozenset({*TRAINING_KEYS, *_EVALUATION_KEYS, "training", "choices"})
"""Every key that a job may have, besides the names of choices."""


@dataclass(frozen=True)
class SortedKeys:
    """The keys of a job, by whose they are.

    Attributes:
        choices: index by name of a choice; empty where ``arch_seq`` has the architecture.
        training: by names of ``TRAINING_KEYS``.
        values: everything else.
    """

    choices: Mapping[str, Any]
    training: Mapping[str, Any]
    values: Mapping[str, Any]


def sort_keys(
    job: Mapping[str, Any], settings: Mapping[str, Any], choices: Sequence[str] | None
) -> SortedKeys:
    """Sorts the keys of a job and its settings.

    Args:
        job: what differs from evaluation to evaluation; it wins.
        settings: what all evaluations of a search share.
        choices: names of the space's choices, in order; None if there is no such space, so that
            every key may be one.

    Raises:
        InvalidValueError: an unknown key, with the nearest known one; one that may be meant as a
            choice and as something else; or an architecture that is given twice.
    """
    names = frozenset() if choices is None else frozenset(choices)
    # Flat keys of a job are its choices first.
    flat_choices = frozenset() if job.get("choices") else names
    job = renamed_keys(job, {old: new for old, new in OLD_KEYS.items() if old not in flat_choices})
    settings = renamed_keys(settings, OLD_KEYS)
    # Nested ones first, so that flat ones beside them win as a job's win over the settings'.
    training: dict[str, Any] = {}
    nested: dict[str, Any] = {}
    for mapping in (settings, job):
        training.update(_nested(mapping, "training", TRAINING_KEYS))
        nested.update(_nested(mapping, "choices", names if choices is not None else None))
    arch_seq = {**settings, **job}.get("arch_seq")
    if nested and arch_seq is not None:
        raise InvalidValueError("the job has its architecture twice, in arch_seq and in choices")
    elsewhere = bool(nested) or arch_seq is not None

    flat: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for mapping, is_job in ((settings, False), (job, True)):
        for key, value in mapping.items():
            if key in ("training", "choices"):
                continue
            if choices is not None and key not in JOB_KEYS and key not in names:
                near = did_you_mean(key, [*JOB_KEYS, *names])
                raise InvalidValueError(
                    f"a job does not take {key!r}{near}; it takes the space's choices by name, "
                    f"and {', '.join(sorted(JOB_KEYS))}"
                )
            is_known = key in JOB_KEYS
            if key in names and (not is_known or (is_job and not nested)):
                if elsewhere and is_known:
                    raise _ambiguous(key)
                flat[key] = value
            elif key in TRAINING_KEYS:
                training[key] = value
            else:
                values[key] = value
    if elsewhere:
        _check_same(flat, nested or dict(zip(choices or (), arch_seq or (), strict=False)))
    else:
        for key in sorted(names - flat.keys()):
            if key in JOB_KEYS and key in settings:
                raise _ambiguous(key)
    return SortedKeys(nested or ({} if elsewhere else flat), training, values)


def _check_same(flat: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """Lets choices be said twice, but not differently."""
    for key, value in flat.items():
        if key in said and said[key] != value:
            raise InvalidValueError(
                f"the job says {value!r} for choice {key!r}, and {said[key]!r} in arch_seq or "
                "choices; leave one of them out"
            )


def _nested(
    mapping: Mapping[str, Any], name: str, known: Collection[str] | None
) -> Mapping[str, Any]:
    inner = mapping.get(name)
    if inner is None:
        return {}
    if not isinstance(inner, Mapping):
        raise InvalidValueError(f"{name} is {inner!r}; it must be a mapping")
    if name == "training":
        inner = renamed_keys(inner, OLD_TRAINING_KEYS)
    if known is not None:
        check_names(inner, known, name)
    return inner


def _ambiguous(key: str) -> InvalidValueError:
    other = "training" if key in TRAINING_KEYS else None
    where = f"training={{{key!r}: ...}}" if other else "the settings"
    return InvalidValueError(
        f"{key!r} is a choice of the search space and means something else, too; give the choice "
        f"in choices={{{key!r}: ...}}, or the other value in {where}"
    )
