"""The command that repeats a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.search.settings import CampaignSettings
from parsl_tl.store.model_id import format_model_id

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAIRS: Final = {
    "problem_args": "--problem-arg",
    "space_args": "--space-arg",
    "transfer_args": "--transfer-arg",
    "limits": "--limit",
    "hyperparameters": "--choose",
    "training": "--train",
}
# What the run itself noted, and where files were found.
_NOT_GIVEN: Final = {"store_ids", "import_folders", "uid"}


def repeat_command(settings: CampaignSettings, out: str) -> list[str]:
    """Returns the words of the command that searches the same again, into another folder.

    Args:
        settings: of the run.
        out: folder of the new run.
    """
    words = ["parsl-tl", "search"]
    for field in fields(CampaignSettings):
        value = getattr(settings, field.name)
        if field.name in _NOT_GIVEN or value is None:
            continue
        option = _PAIRS.get(field.name, f"--{field.name.replace('_', '-')}")
        # Sizes are named always: left out, the program fits them to the number of evaluations.
        sized = field.name in ("population_size", "sample_size", "seed")
        if value != field.default or sized:
            words += _words(option, value)
    return [*words, "--out", out]


def shell_line(words: Sequence[str]) -> str:
    """Returns words as a line for a shell, an option to a line."""
    lines = [" ".join(words[:2])]
    for word in words[2:]:
        if word.startswith("--"):
            lines.append(shlex.quote(word))
        else:
            lines[-1] += " " + shlex.quote(word)
    return " \\\n    ".join(lines)


def _words(option: str, value: Any) -> Iterator[str]:
    if option in _PAIRS.values():
        for name, one in _mapping(value).items():
            text = one if isinstance(one, str) else repr(one)
            if option == "--choose":
                text = ",".join(map(str, one))
            yield from (option, f"{name}={text}")
    elif option == "--donors":
        listed = [format_model_id(one) for one in value] if isinstance(value, list) else [value]
        yield from (option, ",".join(listed))
    elif option == "--minimize":
        yield from (f"{option}={one}" for one in value)
    elif isinstance(value, bool):
        if value:
            yield option
    else:
        yield from (option, str(value))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
