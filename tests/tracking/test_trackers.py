"""Searches in TensorBoard and MLflow, as the tools themselves read them back."""

import pytest
from long_run import GrowingRun, write_long_run

from parsl_tl.cli import main
from parsl_tl.errors import TrackingError
from parsl_tl.report.run import read_run
from parsl_tl.search.journal import read_journal
from parsl_tl.tracking import MLflowCallback, replay_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "run"
    write_long_run(folder, 10, workers=2, failing=0.3, population_size=4)
    return folder


def half_and_whole(folder, tmp_path, *options):
    """Tells trackers of half of a run, and then, twice, of all of it."""
    half = tmp_path / "run"
    half.mkdir()
    growing = GrowingRun(folder, half)
    growing.grow(11)
    for lines in (0, len(growing.lines), 0):
        growing.grow(lines)
        assert main(["report", str(half), *map(str, options)]) == 0


def test_tensorboard(folder, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import (
        SESSION_END_INFO_TAG,
        SESSION_START_INFO_TAG,
        parse_session_end_info_plugin_data,
        parse_session_start_info_plugin_data,
    )

    logs = tmp_path / "logs"
    half_and_whole(folder, tmp_path, "--tensorboard", logs)
    run, rows = read_run(folder), read_journal(folder / "journal.jsonl")
    search = EventAccumulator(str(logs / "run")).Reload()
    best = run.frame["objective"].cummax().ffill()
    points = search.Scalars("best")
    assert [one.step for one in points] == [n for n, v in enumerate(best, 1) if v == v]
    assert [one.value for one in points] == pytest.approx(best.dropna().tolist())
    assert search.Scalars("failed")[-1].value == run.frame["objective"].isna().sum()
    assert len(list((logs / "run").glob("*-*"))) == len(rows)
    for row in rows:
        config = row["config"]
        found = EventAccumulator(
            str(logs / "run" / f"{config['job']:05d}-{config['model_id']:016x}")
        ).Reload()
        for name, values in row["metadata"]["history"].items():
            points = found.Scalars(name)
            assert [one.step for one in points] == list(range(1, len(values) + 1))
            assert [one.value for one in points] == pytest.approx(values)
        plugin = found.PluginTagToContent("hparams")
        start = parse_session_start_info_plugin_data(plugin[SESSION_START_INFO_TAG])
        labels = run.space.labels([config[name] for name in run.choices])
        told = {name: value.ListFields()[0][1] for name, value in start.hparams.items()}
        assert told == dict(zip(run.choices, labels, strict=True))
        end = parse_session_end_info_plugin_data(plugin[SESSION_END_INFO_TAG])
        failed = isinstance(row["objective"], str)
        assert end.status == (2 if failed else 1)  # of TensorBoard: failure, success
        assert ("objective" in found.Tags()["scalars"]) != failed


def test_mlflow(folder, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    where = tmp_path / "mlruns"
    half_and_whole(folder, tmp_path, "--mlflow", where)
    run, rows = read_run(folder), read_journal(folder / "journal.jsonl")
    callback = MLflowCallback(where)
    mlflow.set_tracking_uri(callback.uri)
    client = mlflow.MlflowClient()
    # What a crash left half written is written anew.
    first = mlflow.search_runs(experiment_names=["run"], order_by=["start_time DESC"])
    half = first["run_id"][first["tags.mlflow.parentRunId"].notna()].iloc[0]
    client.update_run(half, status="RUNNING")
    replay_run(tmp_path / "run", [callback])
    frame = mlflow.search_runs(experiment_names=["run"])
    is_search = frame["tags.mlflow.parentRunId"].isna()
    (search,) = frame[is_search].to_dict("records")
    assert half not in set(frame["run_id"])
    assert search["status"] == "FINISHED"
    assert search["params.problem"] == "digits"
    assert search["metrics.best"] == run.frame["objective"].max()
    points = client.get_metric_history(search["run_id"], "failed")
    assert sorted(one.step for one in points) == list(range(1, len(rows) + 1))
    own = frame[~is_search].set_index("tags.parsl_tl.model_id")
    assert set(own["tags.mlflow.parentRunId"]) == {search["run_id"]}
    assert sorted(own.index) == sorted(run.frame["model_id"])
    for row in rows:
        told = own.loc[f"{row['config']['model_id']:016x}"]
        failed = isinstance(row["objective"], str)
        assert told["status"] == ("FAILED" if failed else "FINISHED")
        if failed:
            assert told["tags.parsl_tl.error"] == row["metadata"]["error"]
        else:
            assert told["metrics.objective"] == row["objective"]
        labels = run.space.labels([row["config"][name] for name in run.choices])
        assert [told[f"params.{name}"] for name in run.choices] == [str(one) for one in labels]
        curve = client.get_metric_history(told["run_id"], "val_loss")
        values = [one.value for one in sorted(curve, key=lambda one: one.step)]
        assert values == row["metadata"]["history"]["val_loss"]


def test_runs_as_files_are_not_taken_for_a_folder_of_ours(tmp_path):
    pytest.importorskip("mlflow")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "meta.yaml").touch()
    with pytest.raises(TrackingError, match="migrate-filestore"):
        MLflowCallback(tmp_path)


def test_what_mlflow_cannot_use_is_told():
    pytest.importorskip("mlflow")
    with pytest.raises(TrackingError, match="MLflow cannot use nosuch://there"):
        MLflowCallback("nosuch://there")
