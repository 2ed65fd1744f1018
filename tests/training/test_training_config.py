"""What a trainer needs, and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import pytest

from parsl_tl.errors import ArchitectureError, InvalidValueError, NaNLossError
from parsl_tl.problems import Digits
from parsl_tl.training import TrainingConfig, TrainingReport, failure_reason
from parsl_tl.training.job import EvaluationJob
from parsl_tl.training.runtime import derive_seed
from parsl_tl.transfer import StoreTransfer


def undeclared(uri: str) -> StoreTransfer:
    """A transfer method that does not say what it needs."""
    return StoreTransfer(uri)


def test_the_problem_gives_the_recipe() -> None:
    config = TrainingConfig.for_problem(Digits(), epochs=3, batch_size=None)
    assert (config.epochs, config.batch_size) == (3, Digits.batch_size)
    assert (config.learning_rate, config.optimizer) == (Digits.learning_rate, "adam")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("batch_size", -1),
        ("batch_size", True),
        ("early_stopping_patience", 0),
        ("unfreeze_after", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("seed", -1),
        ("model_id", 2**64),
        ("parent", -1),
    ],
)
def test_values_that_can_never_work(name: str, value: object) -> None:
    with pytest.raises(InvalidValueError, match=f"{name} is {value}"):
        TrainingConfig.for_problem(Digits(), **{name: value})


def test_largest_id_is_fine() -> None:
    assert TrainingConfig.for_problem(Digits(), model_id=2**64 - 1).model_id == 2**64 - 1


class TestJob:
    def test_flat_nested_and_settings(self) -> None:
        flat = EvaluationJob.read({"model_id": 1, "parent": 2}, {"parent": 3, "threads": 4})
        nested = EvaluationJob.read({"parameters": {"parent": 2}, "model_id": 1}, {"threads": 4})
        for job in (flat, nested):
            assert (job.model_id, job.parent, job.threads) == (1, 2, 4)

    def test_job_of_deephyper(self) -> None:
        from deephyper.evaluator import RunningJob

        job = EvaluationJob.read(RunningJob(parameters={"model_id": 5}), {"parent": 1})
        assert (job.model_id, job.parent) == (5, 1)

    def test_text_is_no_integer(self) -> None:
        with pytest.raises(InvalidValueError, match="model_id is '7'"):
            _ = EvaluationJob({"model_id": "7"}).model_id

    def test_a_store_is_needed(self) -> None:
        with pytest.raises(InvalidValueError, match="no store is named"):
            EvaluationJob({"transfer_method": "store"}).transfer_method()

    def test_a_store_is_too_much(self, tmp_path: Path) -> None:
        job = {"transfer_method": "hdf5", "transfer_args": {"folder": str(tmp_path)}}
        assert EvaluationJob(job).transfer_method().name == "hdf5"
        with pytest.raises(InvalidValueError, match="set folder in transfer_args"):
            EvaluationJob({**job, "store": "embedded:/nowhere"}).transfer_method()
        none = {"transfer_method": "none", "store": "embedded:/nowhere"}
        assert EvaluationJob(none).transfer_method().name == "none"

    def test_a_method_that_does_not_say_what_it_needs_gets_the_store(self) -> None:
        job = {"transfer_method": f"{__name__}:undeclared", "store": "embedded:/nowhere"}
        assert EvaluationJob(job).transfer_method().uri == "embedded:/nowhere"

    def test_a_store_alone_means_transfer(self) -> None:
        assert EvaluationJob({"store": "embedded:/nowhere"}).transfer_method().name == "store"
        assert EvaluationJob({}).transfer_method().name == "none"

    def test_without_an_id_one_is_drawn(self) -> None:
        job, other = EvaluationJob({}), EvaluationJob({})
        assert job.model_id == job.model_id != other.model_id

    def test_what_is_missing(self) -> None:
        with pytest.raises(InvalidValueError, match="does not say 'problem'"):
            EvaluationJob({}).config()


class TestSeed:
    @staticmethod
    def seed_of(**values: object) -> int:
        job = {"problem": "digits", "space": "feed-forward", "space_args": {"num_layers": 2}}
        return EvaluationJob({**job, **values}).config().seed

    def test_every_architecture_has_its_own(self) -> None:
        seeds = {
            self.seed_of(seed=seed, arch_seq=[first, second])
            for seed in range(3)
            for first in range(3)
            for second in range(3)
        }
        assert len(seeds) == 27

    def test_ids_do_not_matter(self) -> None:
        assert self.seed_of(arch_seq=[1, 2], model_id=1) == self.seed_of(arch_seq=[1, 2])

    def test_choices_by_name_are_the_same_architecture(self) -> None:
        assert self.seed_of(layer_0=1, layer_1=2) == self.seed_of(arch_seq=[1, 2])

    def test_is_the_same_everywhere(self) -> None:
        assert derive_seed(42, 2**64 - 1) == 1397889200


class TestReport:
    def test_metadata_is_json_and_flat_but_for_history_and_steps(self) -> None:
        report = TrainingReport(objective=0.5, model_id=2**64 - 1)
        report.history = [{"loss": 2.0, "val_loss": float("nan")}, {"loss": 1.0, "val_loss": 3.0}]
        with report.timed("train"):
            pass
        output = report.output()
        assert json.loads(json.dumps(output)) == output
        assert output["objective"] == 0.5
        assert output["metadata"]["model_id"] == 2**64 - 1
        history = output["metadata"].pop("history")
        assert history == {"loss": [2.0, 1.0], "val_loss": [None, 3.0]}
        assert "train" in [name for name, _ in output["metadata"].pop("steps")]
        assert not any(isinstance(value, (dict, list)) for value in output["metadata"].values())

    def test_seconds_of_a_phase_that_raises_are_counted(self) -> None:
        report = TrainingReport()
        with pytest.raises(NaNLossError), report.timed("train"):
            raise NaNLossError("")
        assert report.seconds_train > 0

    def test_failure(self) -> None:
        output = TrainingReport(objective=1.0).failure(ArchitectureError("a cycle " + "x" * 5000))
        assert output["objective"] == "F_Architecture"
        assert output["metadata"]["error"].startswith("ArchitectureError: a cycle")
        assert len(output["metadata"]["error"]) == 2000

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (NaNLossError("nan"), "NaNLoss"),
            (MemoryError(), "OutOfMemory"),
            (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), "OutOfMemory"),
            (RuntimeError("RESOURCE_EXHAUSTED: Failed to allocate 8 bytes"), "OutOfMemory"),
            (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"), "OutOfMemory"),
            (RuntimeError("else"), "Runtime"),
            (KeyError("x"), "Key"),
        ],
    )
    def test_reasons(self, error: Exception, reason: str) -> None:
        assert failure_reason(error) == reason

    @pytest.mark.slow  # TensorFlow tries for ten seconds
    def test_tensorflow_out_of_memory(self) -> None:
        import tensorflow as tf

        with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
            tf.zeros([2**46])
        assert failure_reason(caught.value) == "OutOfMemory"


def test_unknown_fields_are_answered_with_the_nearest() -> None:
    problem = Digits()
    with pytest.raises(InvalidValueError, match=r"'epoch' \(did you mean 'epochs'\?\)"):
        TrainingConfig.for_problem(problem, epoch=3)
    with pytest.raises(InvalidValueError, match=r"did you mean 'early_stopping_patience'\?"):
        TrainingConfig(
            problem=problem,
            epochs=1,
            batch_size=1,
            learning_rate=1.0,
            optimizer="sgd",
            early_stopping=1,
        )
    config = TrainingConfig.for_problem(problem, epochs=3)
    assert dataclasses.replace(config, epochs=4).epochs == 4
    assert copy.copy(config) == config
