"""A search in TensorBoard: a run for each evaluation, and one for the search as a whole.

Files have names of their own and are written whole, so that a search that is carried on, or told
of again from its folder, adds what is new and repeats nothing. TensorBoard's HParams table is made
from the runs of the evaluations: their choices, objective, figures and metrics.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.errors import TrackingError
from parsl_tl.reporting.files import prepare_folder, replace_file
from parsl_tl.search.callbacks import SearchCallback
from parsl_tl.tracking.scalars import Progress, Scalar, epochs, outcome, parameters

if TYPE_CHECKING:
    from parsl_tl.search.callbacks import Evaluation, SearchInfo

# TensorBoard takes files for its own that have "tfevents" in their names.
_SEARCH_FILE: Final = "events.out.tfevents.search"
_EVALUATION_FILE: Final = "events.out.tfevents.evaluation"


class TensorBoardCallback(SearchCallback):
    """Writes a search for TensorBoard: ``tensorboard --logdir FOLDER`` shows it.

    Attributes:
        folder: the log folder; the search is in a folder of its own name in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Writes nothing yet.

        Args:
            folder: of any number of searches; made if it is missing.

        Raises:
            TrackingError: TensorBoard is not installed.
        """
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise TrackingError(
                "TensorBoard's files need its package: pip install 'parsl-tl[tensorboard]'"
            ) from error
        self.folder = Path(folder).expanduser().absolute()
        self._root = self.folder
        self._progress = Progress()

    def on_search_begin(self, search: SearchInfo, earlier: Sequence[Evaluation]) -> None:
        """Writes what has ended before, and is not there yet."""
        self._root = prepare_folder(self.folder / search.name, "the folder for TensorBoard")
        self._progress = Progress()
        events = []
        for evaluation in earlier:
            events += _scalars(self._progress.after(evaluation), _ended(evaluation))
            self._write(evaluation)
        replace_file(self._root / _SEARCH_FILE, lambda file: _append(file, [_version(), *events]))

    def on_evaluation_end(self, evaluation: Evaluation) -> None:
        """Writes the evaluation's run, and the next point of the search's curves."""
        self._write(evaluation)
        points = _scalars(self._progress.after(evaluation), _ended(evaluation))
        _append(self._root / _SEARCH_FILE, points)

    def _write(self, evaluation: Evaluation) -> None:
        folder = self._root / f"{evaluation.job:05d}-{evaluation.model_id}"
        file = folder / _EVALUATION_FILE
        if file.exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        events = [_version(), *_session(evaluation)]
        replace_file(file, lambda partial: _append(partial, events))


def _session(evaluation: Evaluation) -> Iterable[Any]:
    """Gives the events of an evaluation, as the HParams plugin reads a session."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    ended = _ended(evaluation)
    started = ended if evaluation.started_ns is None else evaluation.started_ns / 1e9
    start = plugin_data_pb2.SessionStartInfo(
        start_time_secs=started, group_name=evaluation.model_id
    )
    for name, value in parameters(list(evaluation.choices.items())).items():
        _set(start.hparams[name], value)
    status = api_pb2.STATUS_SUCCESS if evaluation.failure is None else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    data = plugin_data_pb2.HParamsPluginData
    yield _tagged(metadata.SESSION_START_INFO_TAG, data(session_start_info=start), started)
    yield from _scalars([*epochs(evaluation), *outcome(evaluation)], ended)
    yield _tagged(metadata.SESSION_END_INFO_TAG, data(session_end_info=end), ended)


def _set(target: Any, value: bool | int | float | str) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, str):
        target.string_value = value
    else:
        target.number_value = float(value)


def _tagged(tag: str, data: Any, seconds: float) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    value = Summary.Value(
        tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return Event(wall_time=seconds, summary=Summary(value=[value]))


def _scalars(points: Iterable[Scalar], seconds: float) -> list[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return [
        Event(
            wall_time=seconds,
            step=one.step,
            summary=Summary(value=[Summary.Value(tag=one.name, simple_value=one.value)]),
        )
        for one in points
    ]


def _version() -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(file_version="brain.Event:2")


def _append(file: Path, events: Iterable[Any]) -> None:
    """Adds events to a file, in one write: who reads meanwhile sees whole ones."""
    from io import BytesIO

    from tensorboard.summary.writer.record_writer import RecordWriter

    data = BytesIO()
    writer = RecordWriter(data)
    for event in events:
        writer.write(event.SerializeToString())
    with file.open("ab") as target:
        target.write(data.getvalue())


def _ended(evaluation: Evaluation) -> float:
    return time.time() if evaluation.ended_ns is None else evaluation.ended_ns / 1e9
