"""What a study compares: cases, policies and seeds, from a program or a TOML file."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from parsl_tl.errors import InvalidValueError
from parsl_tl.search.settings import DEFAULT_POLICY
from parsl_tl.study.peers import check_peers
from parsl_tl.suggestions import check_names
from parsl_tl.training.inheritance import read_inheritance

BASELINE: Final = "scratch"
"""The policy that all others are compared with."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A problem, searched in a space.

    Attributes:
        name: of its folder, and in tables.
        problem: name of the problem.
        space: name of the search space.
        problem_args: arguments of the problem.
        space_args: arguments of the space.
        training: how candidates are trained; ``TRAINING_KEYS`` of ``parsl_tl.training.namespaces``.
        search: further settings of the campaigns, such as ``population_size``.
        max_evals: evaluations of each campaign; None takes the study's.

    Raises:
        InvalidValueError: a name that is none for a folder.
    """

    name: str
    problem: str
    space: str
    problem_args: dict[str, Any] = field(default_factory=dict)
    space_args: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    max_evals: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidValueError(
                f"{self.name!r} names a case; use letters, digits, dots, dashes and underscores"
            )


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Everything that defines a study's results, apart from where it runs.

    Attributes:
        cases: problems with spaces.
        policies: inheritance policies; ``"scratch"`` is always one of them.
        peers: searches of other libraries, from scratch; see ``parsl_tl.study.peers.PEERS``.
        seeds: of the searches; the n-th campaigns of all policies start alike.
        max_evals: evaluations of each campaign.
        most_evals: evaluations of a campaign that has processor seconds left, as a multiple.
        retrain_epochs: epochs of the full training of each campaign's winner; 0 trains none.
        children: of each case and policy, how many children are trained from scratch, too.
        confidence: of all intervals.

    Raises:
        InvalidValueError: no case, seed or policy, or one that there is not or that is there twice.
    """

    cases: tuple[Case, ...]
    policies: tuple[str, ...] = (BASELINE, "freeze", DEFAULT_POLICY)
    peers: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    max_evals: int = 48
    most_evals: float = 4.0
    retrain_epochs: int = 20
    children: int = 30
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if BASELINE not in self.policies:
            object.__setattr__(self, "policies", (BASELINE, *self.policies))
        names = [case.name for case in self.cases]
        for what, values in (("case", names), ("policy", self.policies), ("seed", self.seeds)):
            if not values:
                raise InvalidValueError(f"a study needs at least one {what}")
            if len(set(values)) < len(values):
                raise InvalidValueError(f"each {what} must be named once, not {list(values)}")
        for policy in self.policies:
            read_inheritance(policy)
        if len(set(self.peers)) < len(self.peers):
            raise InvalidValueError(f"each peer must be named once, not {list(self.peers)}")
        check_peers(self.peers)
        for name, least in (("max_evals", 1), ("most_evals", 1), ("retrain_epochs", 0)):
            if getattr(self, name) < least:
                raise InvalidValueError(f"{name} is {getattr(self, name)}; at least {least}")

    @property
    def others(self) -> tuple[str, ...]:
        """The policies that are compared with the baseline."""
        return tuple(policy for policy in self.policies if policy != BASELINE)

    def adds_to(self, known: StudySettings) -> bool:
        """Whether all that ``known`` compares is compared here too; the rest is the same."""
        grows = ("cases", "policies", "peers", "seeds")
        free = dict.fromkeys((*grows, "confidence"))
        same = {**asdict(self), **free} == {**asdict(known), **free}
        # No sets: cases hold mappings, which have no hash.
        return same and all(
            all(value in getattr(self, name) for value in getattr(known, name)) for name in grows
        )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Makes settings of plain values: lists for tuples, mappings for cases.

        Raises:
            InvalidValueError: a name or value that there is not.
        """
        check_names(values, cls.__dataclass_fields__, "a study")
        cases = values.get("cases") or []
        for case in cases:
            check_names(case, Case.__dataclass_fields__, "a case")
            for name in ("name", "problem", "space"):
                if name not in case:
                    raise InvalidValueError(f"a case lacks its {name}: {case}")
        names = ("policies", "peers", "seeds")
        lists = {name: tuple(values[name]) for name in names if name in values}
        return cls(**{**values, **lists, "cases": tuple(Case(**case) for case in cases)})

    @classmethod
    def read(cls, path: str | os.PathLike[str], **changes: Any) -> Self:
        """Reads a TOML file, or the JSON that ``write`` left.

        Args:
            path: the file.
            **changes: settings to be other than in the file.

        Raises:
            InvalidValueError: it cannot be read, or is none of a study.
        """
        path = Path(path)
        try:
            text = path.read_text()
            values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InvalidValueError(f"{path} cannot be read: {reason}") from error
        return cls.of({**values, **changes})

    def as_json(self) -> str:
        """Returns the settings as the text of a file."""
        return json.dumps(asdict(self), indent=2) + "\n"
