"""A search's ``--store cluster``: how many servers on its own nodes, and what else of them is said.

``cluster``, ``cluster:4``, ``cluster:4?data=/local/scratch&scheme=ofi+tcp``: the number of servers,
and the keyword arguments of ``StoreCluster``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl, urlencode

from parsl_tl.arguments import byte_count, literal
from parsl_tl.errors import InvalidValueError
from parsl_tl.suggestions import check_names

if TYPE_CHECKING:
    import parsl

    from parsl_tl.cluster.store_cluster import StoreCluster

_WORD: Final = "cluster"
_OPTIONS: Final = ("data", "scheme", "interface", "durability", "threads", "memory_limit")


def is_request(store: str) -> bool:
    """Whether a search's store shall be on its own nodes; ``cluster:/a/folder`` is one that is."""
    word, _, rest = store.partition("?")[0].partition(":")
    return word == _WORD and "/" not in rest


def folder_in(campaign: Path) -> Path:
    """Returns the folder of the cluster of a campaign."""
    return campaign / _WORD


@dataclass(frozen=True)
class ClusterRequest:
    """What is wanted.

    Attributes:
        servers: how many; None for one on each node that starts with the configuration.
        options: further arguments of ``StoreCluster``.
    """

    servers: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the text of an option.

        Raises:
            InvalidValueError: it is none.
        """
        name, _, query = text.partition("?")
        word, _, number = name.partition(":")
        if word != _WORD or (number and not (number.isdecimal() and int(number))):
            raise InvalidValueError(
                f"store={text!r}: write cluster, or cluster:N for N servers on the nodes of the "
                "search; to open such a store, name the campaign's folder"
            )
        # As options are written: "+" is itself, as in ofi+tcp.
        pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
        options = {option: literal(value) for option, value in pairs}
        check_names(options, _OPTIONS, "--store cluster", InvalidValueError)
        if options.get("memory_limit") is not None:
            options["memory_limit"] = byte_count(options["memory_limit"])
        return cls(int(number) if number else None, options)

    def __str__(self) -> str:
        number = "" if self.servers is None else f":{self.servers}"
        return f"{_WORD}{number}" + (f"?{urlencode(self.options)}" if self.options else "")

    def make(
        self, config: parsl.Config, folder: Path, *, trace: Path | None = None
    ) -> StoreCluster:
        """Makes the cluster for a configuration that was not started.

        Args:
            config: see ``StoreCluster``.
            folder: of the cluster.
            trace: see ``StoreCluster``.

        Raises:
            ConfigError: see ``StoreCluster``, as for the next.
            InvalidValueError: an option that cannot be.
        """
        from parsl_tl.cluster.store_cluster import StoreCluster

        return StoreCluster(config, folder, self.servers, trace=trace, **self.options)

    def sized(self, config: parsl.Config, folder: Path) -> ClusterRequest:
        """Returns the same with the number of servers that ``make`` would come to."""
        return ClusterRequest(len(self.make(config, folder).places), self.options)


def cluster_of(store: str, campaign: Path) -> tuple[ClusterRequest, Path] | None:
    """Returns what a campaign's store asks for, and the cluster's folder; None if it is another.

    Args:
        store: of its settings.
        campaign: folder of the campaign.
    """
    return (ClusterRequest.parse(store), folder_in(campaign)) if is_request(store) else None
