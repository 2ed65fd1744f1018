"""A campaign's settings: what defines its results, kept in ``config.json``."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from parsl_tl.arguments import byte_count
from parsl_tl.cluster.request import folder_in, is_request
from parsl_tl.deprecation import renamed_keys
from parsl_tl.errors import CampaignError, InvalidValueError
from parsl_tl.imports import resolve_import_name
from parsl_tl.search.kept_figures import RankBy
from parsl_tl.store.connection import CLUSTER
from parsl_tl.suggestions import check_names
from parsl_tl.training.inheritance import resolve_policy
from parsl_tl.training.namespaces import OLD_TRAINING_KEYS

DEFAULT_POLICY: Final = "shrink:0.9"
"""What becomes of inherited layers in a search that says nothing of it: what studies found best."""

NONE_KEEPS_NOTHING: Final = (
    "transfer method 'none' keeps no models; from_scratch (--from-scratch) is what transfers "
    "nothing and stores every model, as 'none' did in earlier releases"
)


def resolve_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Makes names of files mean the same from every folder, and old names what they now are.

    Args:
        values: settings, or some of them.
    """
    resolved = dict(values)
    for name in ("problem", "space", "transfer"):
        if resolved.get(name) is not None:
            resolved[name] = resolve_import_name(resolved[name])
    if resolved.get("training"):
        resolved["training"] = renamed_keys(resolved["training"], OLD_TRAINING_KEYS)
    for name in ("prefix_cache", "share_data"):
        if resolved.get(name) is not None:
            resolved[name] = byte_count(resolved[name])
    inherit = resolved.pop("inherit", None)
    if inherit is not None:
        resolved["training"] = _with_policy(resolved.get("training") or {}, inherit)
    training = resolved.get("training") or {}
    if training.get("inherit") is not None:
        resolved["training"] = {**training, "inherit": resolve_policy(training["inherit"])}
    return resolved


def _with_policy(training: Mapping[str, Any], inherit: str) -> dict[str, Any]:
    other = training.get("inherit", inherit)
    if other != inherit:
        raise CampaignError(
            f"inherit is {inherit!r}, and {other!r} in training; leave one of them out"
        )
    return {**training, "inherit": inherit}


def with_policy(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings of a new campaign that say what becomes of inherited layers.

    Args:
        values: settings, which may say it already: for all candidates, or as what is chosen.
    """
    training = values.get("training") or {}
    said = {*training, *(values.get("hyperparameters") or ())}
    if {"inherit", "unfreeze_after"} & said or values.get("from_scratch"):
        return dict(values)
    return {**values, "training": {**training, "inherit": DEFAULT_POLICY}}


def with_sizes(values: Mapping[str, Any], max_evals: int) -> dict[str, Any]:
    """Returns settings with the sizes of population and tournaments that fit a short search.

    Args:
        values: settings, or some of them; sizes that they have stay as they are.
        max_evals: evaluations of the search.
    """
    population = values.get("population_size", max(2, min(50, max_evals // 3)))
    return {"population_size": population, "sample_size": min(5, population), **values}


def check_sizes(population_size: int, sample_size: int) -> None:
    """Refuses sizes of population and tournaments that do not fit together.

    Raises:
        InvalidValueError: they do not.
    """
    if population_size < 2 or not 1 <= sample_size <= population_size:
        raise InvalidValueError(
            f"population_size={population_size} must be at least 2, and "
            f"sample_size={sample_size} from 1 to the population's"
        )


@dataclass(frozen=True, kw_only=True)
class CampaignSettings:
    """Everything that defines a campaign's results, apart from where it runs.

    Attributes:
        problem: name of the problem.
        space: name of the search space.
        store: URI of the model store; ``embedded:`` is the campaign's own folder ``store``.
            Servers may be named by connection strings, address files or ``MODEL_SERVERS``; what
            is kept, and handed to workers, are their connection strings. ``cluster:N`` has N
            servers on the search's own nodes; see ``parsl_tl.cluster``.
        overlap_store: workers store a model while they go on with the next evaluation. Saves the
            seconds of storing; a result may be known before its model can be a donor, and if the
            search or a worker is killed then, the model counts as not stored.
        transfer: ``store`` lets children take over the longest prefix. Every other transfer
            method (``hdf5``, ``safetensors``, ``redis``, your own) keeps all models its own way,
            and there is no store; ``none`` keeps nothing.
        from_scratch: transfers nothing, and still stores every model.
        transfer_args: arguments of such a method. Those of files have the campaign's own folder
            ``models`` if none is named.
        seed: of all randomness.
        population_size: members of the population.
        sample_size: members of a tournament.
        beta: weight of late choices in mutation; None draws choices uniformly.
        rank_by: what tournaments compare: ``"objective"``, or ``"architecture"`` for the objective
            less what the training that was inherited is worth, which is learned meanwhile; see
            ``parsl_tl.search.inherited_training``.
        keep_best: best models that stay in the store after they left the population.
        max_failed_share: share of failed evaluations up to which the search is a success.
        donors: whose weights children may take over: ``"same"`` for models of the same data only
            (what ``Problem.fingerprint`` tells), ``"any"``, or a list of further fingerprints.
        min_quality: models in the store of less quality (objective) are no donors; None takes all.
        quality_rate: layers of prefix that one unit of quality is worth when the store chooses a
            donor; 0 takes the longest prefix, and quality decides between equally long ones.
        random_transfer: let random candidates take over weights, too, such as those of a
            pretrained model that was imported into the store.
        hyperparameters: values by name of a training key that are chosen beside the architecture.
        limits: most ``parameters``, ``bytes`` or ``layers`` of an architecture, or
            ``milliseconds`` that it may take to predict a batch where the search is driven; what is
            over a limit is drawn again instead of trained. Since times vary, a search with a limit
            of milliseconds is not repeatable.
        minimize: what to keep small beside the objective: ``parameters``, ``bytes``, ``layers``,
            ``milliseconds`` that the worker takes to predict a batch, or entries of the training
            history such as ``val_loss``; with a leading ``-`` to keep large: ``-val_auroc``.
        problem_args: arguments of the problem.
        space_args: arguments of the space.
        training: how candidates are trained: ``TRAINING_KEYS`` of ``parsl_tl.training.namespaces``
            (epochs, batch_size, learning_rate, inherit, ...), and ``threads``. ``Campaign`` takes
            ``inherit`` by itself, too, and sets it to ``DEFAULT_POLICY`` where nothing is said.
        prefix_cache: bytes, or a text such as ``"4GB"`` or ``"off"``: how much the workers of a
            node keep of what leaves frozen layers, for other candidates with the same layers.
        share_data: bytes, or such a text: data sets of at least this size are prepared once on
            each node, and mapped by all its workers; ``"off"`` gives each its own.
        allow_repeats: evaluate an architecture again when it comes up again.
        max_evals: how many evaluations were asked for at last.
        store_ids: identities of the store, as it was found at last.
        import_folders: where modules of the user's own were found.
        uid: tells campaigns apart that share a store.
    """

    problem: str
    space: str
    store: str = "embedded:"
    overlap_store: bool = False
    transfer: str = "store"
    transfer_args: dict[str, Any] = field(default_factory=dict)
    from_scratch: bool = False
    seed: int = 0
    population_size: int = 50
    sample_size: int = 5
    beta: float | None = None
    rank_by: RankBy = "architecture"
    keep_best: int = 5
    max_failed_share: float = 0.5
    donors: str | list[int] = "same"
    min_quality: float | None = None
    quality_rate: float = 0.0
    random_transfer: bool = False
    hyperparameters: dict[str, list[Any]] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    minimize: list[str] = field(default_factory=list)
    problem_args: dict[str, Any] = field(default_factory=dict)
    space_args: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    prefix_cache: int = 2 * 10**9
    share_data: int = 64 * 10**6
    allow_repeats: bool = False
    max_evals: int | None = None
    store_ids: list[str] = field(default_factory=list)
    import_folders: list[str] = field(default_factory=list)
    uid: str = field(default_factory=lambda: secrets.token_hex(8))

    def __new__(cls, **values: Any) -> Self:
        """Refuses a setting that there is not, with the nearest one that there is."""
        check_names(values, cls.__dataclass_fields__, "a campaign", CampaignError)
        return super().__new__(cls)

    def model_id(self, job: int) -> int:
        """Returns the model id of a job: the same at every try, another in every campaign."""
        digest = hashlib.blake2b(f"{self.uid}:{job}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little")

    @property
    def has_store(self) -> bool:
        """Whether the models are in a model store, and not with another transfer method."""
        return self.transfer == "store"

    def store_uri(self, folder: Path) -> str:
        """Returns the URI of the model store of the campaign in a folder.

        Raises:
            CampaignError: it has none.
        """
        if self.transfer == "none":
            raise CampaignError(f"the campaign in {folder} has no store: it keeps no models")
        if not self.has_store:
            raise CampaignError(
                f"the campaign in {folder} has no store: its models are where transfer method "
                f"{self.transfer!r} keeps them"
            )
        if is_request(self.store):
            return f"{CLUSTER}{folder_in(folder.absolute())}"
        return f"embedded:{folder / 'store'}" if self.store == "embedded:" else self.store

    def write(self, path: Path) -> None:
        """Writes ``config.json``."""
        partial = path.with_suffix(".tmp")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads ``config.json``.

        Raises:
            CampaignError: the file is missing or not one of a campaign.
        """
        try:
            return cls(**_as_now(json.loads(path.read_text())))
        except FileNotFoundError as error:
            raise CampaignError(
                f"{path.parent} holds no campaign (there is no {path.name}); "
                "start one without --resume"
            ) from error
        except (ValueError, TypeError, CampaignError) as error:
            raise CampaignError(f"{path} is not a campaign's: {error}") from error

    def differences(self, given: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Returns ``{name: (here, given)}`` of settings that are given with another value."""
        own = asdict(self)
        check_names(given, own, "a campaign", CampaignError)
        return {
            name: (own[name], value)
            for name, value in given.items()
            if value is not None and own[name] != value
        }


def _as_now(values: dict[str, Any]) -> dict[str, Any]:
    """Returns settings that an earlier release wrote as this one would write them."""
    if "from_scratch" not in values and values.get("transfer") == "none":
        values = {**values, "transfer": "store", "from_scratch": True}
    if "rank_by" not in values:
        values = {**values, "rank_by": "objective"}
    if "donors" not in values:  # whose models do not say whose data they are of
        values = {**values, "donors": "any"}
    training = renamed_keys(values.get("training", {}), OLD_TRAINING_KEYS, warns=False)
    return {**values, "training": training}
