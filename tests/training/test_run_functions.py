"""The run functions: jobs in, objectives and metadata out, and nothing that ends a search."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parsl_tl.spaces import get_space
from parsl_tl.store import open_store
from parsl_tl.training import run_base_trainer, run_transfer_trainer
from parsl_tl.transfer.store import disconnect

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow

SPACE = get_space("dense-skip")


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    yield f"embedded:{tmp_path / 'store'}"
    disconnect()


def sequence(last: int) -> list[int]:
    """An architecture that differs from the others in its last choice of a layer only."""
    result = [0] * len(SPACE.choices())
    layers = [i for i, choice in enumerate(SPACE.choices()) if len(choice.values) > 2]
    for i in layers:
        result[i] = 3
    result[layers[-1]] = last
    return result


def job(**values: Any) -> dict[str, Any]:
    return {
        "problem": "digits",
        "space": "dense-skip",
        "arch_seq": sequence(2),
        "epochs": 2,
        "seed": 1,
        **values,
    }


class TestResults:
    @pytest.mark.parametrize("run", [run_base_trainer, run_transfer_trainer])
    def test_plain_values(self, run: Any) -> None:
        output = run(job(model_id=7))
        assert json.loads(json.dumps(output)) == output
        assert type(output["objective"]) is float
        assert output["objective"] > 0.3
        metadata = output["metadata"]
        assert metadata["model_id"] == 7
        assert metadata["epochs"] == 2
        assert metadata["error"] is None
        assert metadata["worker"].count(":") == 1
        seconds = [metadata[f"seconds_{name}"] for name in ("build", "train", "total")]
        assert all(value > 0 for value in seconds)
        # The stamps enclose what was measured; the two clocks differ by their resolution.
        took = (metadata["ended_ns"] - metadata["started_ns"]) / 1e9
        assert took >= metadata["seconds_total"] - 0.1
        assert metadata["slot"] is None  # this process is no worker of Parsl's

    def test_same_job_same_objective(self) -> None:
        assert run_base_trainer(job())["objective"] == run_base_trainer(job())["objective"]

    def test_both_functions_agree_without_transfer(self) -> None:
        base, transfer = run_base_trainer(job()), run_transfer_trainer(job())
        assert base["objective"] == transfer["objective"]

    def test_parent_and_child(self, uri: str) -> None:
        parent = run_transfer_trainer(job(model_id=1, from_scratch=True), store=uri)["metadata"]
        child = run_transfer_trainer(
            job(model_id=2**64 - 1, parent=1, arch_seq=sequence(4)), store=uri
        )["metadata"]
        assert parent["layers_transferred"] == 0
        assert child["donor"] == child["parent"] == 1
        assert 0 < child["layers_transferred"] < child["layers_total"]
        assert 0 < child["bytes_stored"] == child["bytes_total"] - child["bytes_transferred"]
        with open_store(uri) as store:
            info = store.info(2**64 - 1)
            assert info["attributes"]["arch_seq"] == sequence(4)
            assert info["attributes"]["problem"] == "digits"

    def test_a_task_that_runs_twice_is_evaluated_once(self, uri: str) -> None:
        first = run_transfer_trainer(job(model_id=1, store=uri))
        again = run_transfer_trainer(job(model_id=1, store=uri))
        assert again["objective"] == first["objective"]
        assert again["metadata"]["recalled"]

    def test_storing_in_the_background_gives_the_same(self, uri: str, tmp_path: Path) -> None:
        other = f"embedded:{tmp_path / 'other'}"
        jobs = [
            job(model_id=1, from_scratch=True),
            job(model_id=2, parent=1, arch_seq=sequence(4)),
            job(model_id=3, parent=2, arch_seq=sequence(4)),
        ]
        now = [run_transfer_trainer(one, store=uri) for one in jobs]
        later = [run_transfer_trainer(one, store=other, overlap_store=True) for one in jobs]
        assert [one["metadata"]["store_pending"] for one in now + later] == 3 * [False] + 3 * [True]
        for mine, theirs in zip(now, later, strict=True):
            assert mine["objective"] == theirs["objective"]
            for name in ("donor", "layers_transferred", "bytes_stored", "store_error"):
                assert mine["metadata"][name] == theirs["metadata"][name]
        disconnect()
        with open_store(uri) as first, open_store(other) as second:
            for model_id in (1, 2, 3):
                assert first.composition(model_id) == second.composition(model_id)
                weights = second.read(model_id)
                for name, arrays in first.read(model_id).items():
                    for a, b in zip(arrays, weights[name], strict=True):
                        assert a.tobytes() == b.tobytes()

    def test_jobs_of_deephyper(self) -> None:
        from deephyper.evaluator import RunningJob

        names = {c.name: i for c, i in zip(SPACE.choices(), sequence(2), strict=True)}
        output = run_base_trainer(
            RunningJob(parameters=names), problem="digits", space="dense-skip", epochs=2, seed=1
        )
        assert isinstance(output["objective"], float), output

    def test_a_users_own_problem(self, user_module: str) -> None:
        output = run_base_trainer(job(problem=f"{user_module}:Plain", epochs=None))
        assert output["objective"] < 0, output


class TestFailures:
    @pytest.mark.parametrize(
        ("values", "reason", "text"),
        [
            ({"learning_rate": 1e30}, "NaNLoss", "loss is nan"),
            ({"problem": "digit"}, "Problem", "'digit'"),
            ({"problem_args": {"validation": 2}}, "Problem", "between 0 and 1"),
            ({"space": "desne-skip"}, "Space", "desne-skip"),
            ({"arch_seq": [1, 2, 3]}, "Space", ""),
            ({"arch_seq": ["a"]}, "Space", ""),
            ({"epochs": 0}, "InvalidValue", "epochs is 0"),
            ({"learning_rate": -1.0}, "InvalidValue", "learning_rate"),
            ({"model_id": -1}, "InvalidValue", "model_id"),
            ({"optimizer": "adamant"}, "InvalidValue", "adamant"),
            ({"transfer_method": "pigeon"}, "Transfer", "pigeon"),
            ({"transfer_method": "store"}, "InvalidValue", "store"),
        ],
    )
    def test_reason_and_text(self, values: dict[str, Any], reason: str, text: str) -> None:
        output = run_transfer_trainer(job(**values))
        assert output["objective"] == f"F_{reason}", output["metadata"]["error"]
        assert text in output["metadata"]["error"]
        assert "parsl_tl" in output["metadata"]["traceback"]

    def test_out_of_memory(self, user_module: str) -> None:
        output = run_base_trainer(job(problem=f"{user_module}:Exhausting"))
        assert output["objective"] == "F_OutOfMemory"
        assert "no room" in output["metadata"]["error"]

    def test_a_device_that_is_full_ends_one_evaluation(self, user_module: str) -> None:
        output = run_base_trainer(job(problem=f"{user_module}:Crowded"))
        assert output["objective"] == "F_OutOfMemory"
        assert "ResourceExhaustedError: OOM when" in output["metadata"]["error"]
        assert output["metadata"]["epochs"] == 1
        assert isinstance(run_base_trainer(job(problem=f"{user_module}:Plain"))["objective"], float)

    def test_a_store_that_cannot_be_opened(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no store")
        output = run_transfer_trainer(job(model_id=1, store=f"embedded:{tmp_path / 'file'}"))
        assert output["objective"].startswith("F_Store")
        assert output["metadata"]["epochs"] == 2  # it went on without transfer
        assert output["metadata"]["transfer_error"]

    def test_the_next_evaluation_is_fine(self) -> None:
        assert run_base_trainer(job(learning_rate=1e30))["objective"] == "F_NaNLoss"
        assert isinstance(run_base_trainer(job())["objective"], float)

    def test_interrupts_pass_through(self, user_module: str) -> None:
        with pytest.raises(KeyboardInterrupt):
            run_base_trainer(job(problem=f"{user_module}:Interrupted"))


def test_nothing_stays_of_what_was_traced(uri: str) -> None:
    """TensorFlow registers the gradients of swish for ever, and all of a model hangs on them."""
    tf = pytest.importorskip("tensorflow")
    from tensorflow.python.framework.ops import gradient_registry

    users = tf.function(lambda x: tf.nn.silu(x))
    users(tf.ones(3))

    def kept() -> tuple[set[str], int]:
        gc.collect()
        graphs = [each for each in gc.get_objects() if type(each).__name__ == "FuncGraph"]
        return {name for name in gradient_registry.list() if name.startswith("Custom")}, len(graphs)

    labels = [str(label) for label in SPACE.choices()[0].values]
    first, *others = [index for index, label in enumerate(labels) if "swish" in label][:4]
    run_transfer_trainer(job(model_id=first, epochs=1, arch_seq=sequence(first)), store=uri)
    before = kept()
    for index in others:
        output = run_transfer_trainer(
            job(model_id=index, epochs=1, arch_seq=sequence(index)), store=uri
        )
        assert output["metadata"]["error"] is None
    assert kept() == before
    # What others have traced goes on as it was.
    with tf.GradientTape() as tape:
        x = tf.ones(3)
        tape.watch(x)
        y = users(x)
    assert tape.gradient(y, x) is not None


@pytest.mark.slow
def test_memory_stays_flat(uri: str) -> None:
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096

    for number in range(4):
        run_transfer_trainer(job(model_id=number, epochs=1, store=uri))
    before = resident()
    for number in range(4, 19):
        run_transfer_trainer(
            job(model_id=number, epochs=1, arch_seq=sequence(number % 7 + 1)), store=uri
        )
    # A leaked evaluation (graph, traces, weights) is some 10 MB.
    assert resident() - before < 40 * 2**20
