"""What a search asks for: choices by name, and what it adds of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parsl_tl.training.namespaces import JOB_KEYS, OLD_KEYS

# With the old keys: a search that is carried on has its choices where it had them.
_RESERVED = JOB_KEYS | OLD_KEYS.keys() | {"parameters"}


def candidate_config(names: Sequence[str], arch_seq: Sequence[int], **own: Any) -> dict[str, Any]:
    """Returns a configuration with an index for each choice.

    Choices stand beside the search's own keys, as in every DeepHyper search; under ``choices``
    where one of them is called as a key of a job is.

    Args:
        names: of the space's choices.
        arch_seq: one index per choice.
        **own: what the search adds.
    """
    choices = dict(zip(names, arch_seq, strict=True))
    if _RESERVED.isdisjoint(names):
        return {**choices, **own}
    return {"choices": choices, **own}


def arch_seq_of(config: Mapping[str, Any], names: Sequence[str]) -> list[int]:
    """Returns the indices of a configuration's choices, in the order of the names."""
    nested = config.get("choices")
    choices = nested if isinstance(nested, Mapping) else config
    return [int(choices[name]) for name in names]
