"""A search in MLflow: a run for the search, and in it one for each evaluation.

Runs are known by tags, so that a search that is carried on, or told of again from its folder, adds
what is new and repeats nothing.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.errors import TrackingError
from parsl_tl.reporting.files import prepare_folder
from parsl_tl.search.callbacks import SearchCallback
from parsl_tl.tracking.scalars import Progress, Scalar, epochs, outcome, parameters

if TYPE_CHECKING:
    from parsl_tl.search.callbacks import Evaluation, SearchInfo

_CAMPAIGN: Final = "parsl_tl.campaign"
_MODEL: Final = "parsl_tl.model_id"
_PARENT_RUN: Final = "mlflow.parentRunId"
_MOST_METRICS: Final = 1000  # that MLflow takes in one call
_MOST_PARAMETERS: Final = 100
_MOST_LETTERS: Final = 500
_PAGE: Final = 1000
_NO_NAME: Final = re.compile(r"[^\w\-. :/]")
_NOT_SETTINGS: Final = ("store_ids", "import_folders", "uid", "max_evals")


class MLflowCallback(SearchCallback):
    """Writes a search to MLflow: ``mlflow ui --backend-store-uri URI`` shows it.

    Attributes:
        uri: MLflow's tracking URI.
    """

    def __init__(self, where: str | os.PathLike[str], experiment: str | None = None) -> None:
        """Writes nothing yet.

        Args:
            where: a tracking URI (``sqlite:///runs.db``, ``http://host:5000``), or a folder, which
                is made if it is missing and gets MLflow's database, ``mlflow.db``.
            experiment: name of the experiment; the name of the search's folder by default.

        Raises:
            TrackingError: MLflow is not installed, or takes no such URI.
        """
        # A search asks no machine that it was not told of.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise TrackingError(
                "MLflow's runs need its package: pip install 'parsl-tl[mlflow]'"
            ) from error
        # It tells of every table that it makes.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self.uri, self._artifacts = _tracking_uri(where)
        self._experiment = experiment
        try:
            self._client = MlflowClient(tracking_uri=self.uri)
        except Exception as error:  # of whatever kind of storage the URI names
            raise TrackingError(f"MLflow cannot use {self.uri}: {error}") from error
        self._experiment_id = self._run_id = ""
        self._progress = Progress()
        self._points = 0

    def on_search_begin(self, search: SearchInfo, earlier: Sequence[Evaluation]) -> None:
        """Makes the search's run, or finds it, and writes what has ended and is not there yet."""
        self._experiment_id = self._find_experiment(self._experiment or search.name)
        self._run_id = self._find_run(search)
        self._client.update_run(self._run_id, status="RUNNING")
        history = self._client.get_metric_history(self._run_id, "failed")
        self._points = max((point.step for point in history), default=0)
        self._progress = Progress()
        known = self._known()
        for evaluation in earlier:
            self._add_points(evaluation)
            if evaluation.model_id not in known:
                self._write(evaluation)

    def on_evaluation_end(self, evaluation: Evaluation) -> None:
        """Writes the evaluation's run, and the next point of the search's curves."""
        self._add_points(evaluation)
        self._write(evaluation)

    def on_search_end(self) -> None:
        """Marks the search's run as finished, until it is carried on."""
        if self._run_id:
            self._client.set_terminated(self._run_id, "FINISHED")

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, self._artifacts))

    def _find_run(self, search: SearchInfo) -> str:
        """Returns the run of a search; a new one has its settings."""
        uid = search.settings.uid
        for run in self._runs(f"tags.`{_CAMPAIGN}` = '{uid}'"):
            return str(run.info.run_id)
        tags = {"mlflow.runName": search.name, _CAMPAIGN: uid}
        run_id = self._client.create_run(self._experiment_id, tags=tags).info.run_id
        settings = {
            name: value
            for name, value in asdict(search.settings).items()
            if name not in _NOT_SETTINGS and value not in (None, {}, [])
        }
        self._log(run_id, [], settings)
        return str(run_id)

    def _known(self) -> set[str]:
        """Returns the models whose runs are whole; a run that a crash left half written goes."""
        known = set()
        for run in list(self._runs(f"tags.`{_PARENT_RUN}` = '{self._run_id}'")):
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
            else:
                known.add(run.data.tags.get(_MODEL, ""))
        return known

    def _runs(self, where: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], where, max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _add_points(self, evaluation: Evaluation) -> None:
        points = self._progress.after(evaluation)
        if self._progress.count > self._points:
            self._log(self._run_id, points, {}, _ended_ms(evaluation))

    def _write(self, evaluation: Evaluation) -> None:
        ended = _ended_ms(evaluation)
        started = ended if evaluation.started_ns is None else evaluation.started_ns // 10**6
        told = {
            "parsl_tl.parent": evaluation.parent,
            "parsl_tl.donor": evaluation.donor,
            "parsl_tl.failure": evaluation.failure,
            "parsl_tl.error": evaluation.error,
        }
        tags = {
            "mlflow.runName": f"#{evaluation.job} {evaluation.model_id}",
            _PARENT_RUN: self._run_id,
            _MODEL: evaluation.model_id,
            **{name: value[:_MOST_LETTERS] for name, value in told.items() if value is not None},
        }
        run = self._client.create_run(self._experiment_id, start_time=started, tags=tags)
        points = [*epochs(evaluation), *outcome(evaluation)]
        self._log(run.info.run_id, points, parameters(list(evaluation.choices.items())), ended)
        status = "FINISHED" if evaluation.failure is None else "FAILED"
        self._client.set_terminated(run.info.run_id, status, end_time=ended)

    def _log(
        self,
        run_id: str,
        points: Sequence[Scalar],
        values: dict[str, Any],
        milliseconds: int = 0,
    ) -> None:
        from mlflow.entities import Metric, Param

        metrics = [Metric(_named(one.name), one.value, milliseconds, one.step) for one in points]
        params = [Param(_named(name), str(value)[:_MOST_LETTERS]) for name, value in values.items()]
        for begin in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(run_id, metrics=metrics[begin : begin + _MOST_METRICS])
        for begin in range(0, len(params), _MOST_PARAMETERS):
            self._client.log_batch(run_id, params=params[begin : begin + _MOST_PARAMETERS])


def _tracking_uri(where: str | os.PathLike[str]) -> tuple[str, str | None]:
    """Returns the URI of a place, and where its artifacts go if MLflow is not to choose."""
    text = os.fspath(where)
    if "://" in text or text.startswith(("databricks", "file:")):
        return text, None
    folder = prepare_folder(Path(text).expanduser().absolute(), "the folder for MLflow")
    if any(folder.glob("*/meta.yaml")):
        raise TrackingError(
            f"{folder} holds runs as files, which MLflow keeps no more: move them into a database "
            f"by `mlflow migrate-filestore`, or name another folder"
        )
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def _named(name: str) -> str:
    """Returns a name with nothing in it that MLflow refuses."""
    return _NO_NAME.sub("_", name)


def _ended_ms(evaluation: Evaluation) -> int:
    return int(time.time() * 1e3) if evaluation.ended_ns is None else evaluation.ended_ns // 10**6
