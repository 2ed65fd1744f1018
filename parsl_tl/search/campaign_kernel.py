"""Where a campaign's evaluations run: on a kernel of its own, or on one that is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parsl_tl.cluster.request import cluster_of
from parsl_tl.configuration import load_config
from parsl_tl.errors import ConfigError, InvalidValueError
from parsl_tl.loaded_kernel import kernel_of_the_user
from parsl_tl.parsl_kernel import parsl_kernel
from parsl_tl.parsl_reuse import startable

if TYPE_CHECKING:
    import parsl
    from parsl.dataflow.dflow import DataFlowKernel
    from parsl.executors.base import ParslExecutor

    from parsl_tl.cluster.request import ClusterRequest
    from parsl_tl.worker_start import WorkerStart


class CampaignKernel:
    """Where a campaign runs, as its user said it.

    Attributes:
        executors: labels of the executors for evaluations, or ``"all"``.
        num_workers: evaluations at a time; as many as these have workers when None.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | parsl.Config | None,
        max_workers: int | None,
        kernel: DataFlowKernel | None,
        executors: str | Sequence[str],
        num_workers: int | None,
    ) -> None:
        """Notes it; nothing is started. See ``Campaign`` for the arguments.

        Raises:
            ConfigError: a kernel and a configuration.
            InvalidValueError: a number of workers below 1.
        """
        if kernel is not None and (config is not None or max_workers is not None):
            raise ConfigError(
                "kernel= runs already, with a configuration of its own; leave config and "
                "max_workers out, or the kernel"
            )
        if num_workers is not None and num_workers < 1:
            raise InvalidValueError(f"num_workers={num_workers!r} must be at least 1")
        self._config = config
        self._max_workers = max_workers
        self._kernel = kernel
        self.executors = executors
        self.num_workers = num_workers

    def _given_kernel(self) -> DataFlowKernel | None:
        if self._kernel is None and self._config is None and self._max_workers is None:
            return kernel_of_the_user()
        return self._kernel

    @property
    def can_start_again(self) -> bool:
        """Whether executors that are lost can be replaced; to be asked before they are started.

        Raises:
            ConfigError: they were started before.
        """
        import parsl

        if self._given_kernel() is not None:
            return False
        if isinstance(self._config, parsl.Config):
            return startable(self._config) is not self._config
        return True

    def all_executors(self, run_dir: Path) -> list[ParslExecutor]:
        """Returns the executors that there are, or would be.

        Args:
            run_dir: see ``running``.

        Raises:
            ConfigError: there is no such configuration.
        """
        kernel = self._given_kernel()
        if kernel is None:
            return list(self._own_config(run_dir).executors)
        return [
            executor
            for label, executor in kernel.executors.items()
            if not label.startswith("_parsl_internal")
        ]

    def sized(self, store: str, campaign: Path) -> str:
        """Returns a campaign's store; one on its own nodes with the number of its servers.

        Args:
            store: as the user names it.
            campaign: folder of the campaign.

        Raises:
            ConfigError: the nodes cannot have such a store, or run already.
        """
        wanted = cluster_of(store, campaign)
        if wanted is None:
            return store
        if self._given_kernel() is not None:
            raise ConfigError(
                f"store={store!r}: servers start with the nodes, and this kernel runs already; "
                "make a StoreCluster for its configuration before parsl.load, and give "
                "store=cluster.uri"
            )
        request, folder = wanted
        return str(request.sized(self._own_config(campaign / "parsl"), folder))

    @contextlib.contextmanager
    def running(
        self,
        run_dir: Path,
        worker_start: WorkerStart | None = None,
        cluster: tuple[ClusterRequest, Path] | None = None,
        trace: Path | None = None,
    ) -> Iterator[DataFlowKernel]:
        """Gives the kernel; one that was made for it ends with the ``with``.

        Args:
            run_dir: where Parsl writes its logs, for a configuration that is given by name.
            worker_start: what its workers load before their first task.
            cluster: a store to have on its nodes, and the cluster's folder; its servers answer.
            trace: folder of a record that these servers add to.
        """
        kernel = self._given_kernel()
        if kernel is not None:
            yield kernel
            return
        config = self._own_config(run_dir)
        servers = None if cluster is None else cluster[0].make(config, cluster[1], trace=trace)
        with contextlib.ExitStack() as stack:
            own = stack.enter_context(parsl_kernel(config, worker_start))
            if servers is not None:
                stack.enter_context(servers).wait()
            yield own

    def _own_config(self, run_dir: Path) -> parsl.Config:
        import parsl

        if isinstance(self._config, parsl.Config):
            return startable(self._config)
        config = load_config(self._config or "local", max_workers=self._max_workers)
        config.run_dir = str(run_dir)
        return config
