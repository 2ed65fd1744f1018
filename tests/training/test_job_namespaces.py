"""Whose a key of a job is, where a search space's choices are called as anything else is."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

import parsl_tl.spaces as anywhere
from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces import Choice, FeedForwardSpace
from parsl_tl.training.job import EvaluationJob
from parsl_tl.training.namespaces import JOB_KEYS, TRAINING_KEYS, sort_keys

SPACE = "parsl_tl.spaces:_under_test"


class Colliding(FeedForwardSpace):
    """A space that calls its choices as a job calls everything else."""

    names: ClassVar = ("learning_rate", "batch_size", "units")

    def __init__(self) -> None:
        super().__init__(num_layers=3, units=(8, 32, 8))

    def choices(self) -> list[Choice]:
        return [
            Choice(name, choice.values)
            for name, choice in zip(self.names, super().choices(), strict=True)
        ]


@pytest.fixture(autouse=True)
def space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anywhere, "_under_test", Colliding, raising=False)


def read(job: dict[str, Any], **settings: Any) -> EvaluationJob:
    return EvaluationJob.read(job, {"problem": "digits", "space": SPACE, **settings})


CHOICES = {"learning_rate": 2, "batch_size": 3, "units": 1}


class TestChoices:
    def test_a_choice_is_never_read_as_training(self) -> None:
        job = read(dict(CHOICES))
        config = job.config()
        assert job.arch_seq == [2, 3, 1]
        assert (config.learning_rate, config.batch_size) == (2e-3, 64)  # the problem's

    def test_training_of_the_same_name_is_had_beside_it(self) -> None:
        for job in (
            read(dict(CHOICES), training={"learning_rate": 0.5, "epochs": 3}),
            read({**CHOICES, "training": {"learning_rate": 0.5, "epochs": 3}}),
            read(dict(CHOICES), learning_rate=0.5, epochs=3),
            read({"choices": CHOICES, "training": {"learning_rate": 0.5}}, epochs=3),
            read({"choices": CHOICES, "learning_rate": 0.5}, epochs=3),
        ):
            config = job.config()
            assert job.arch_seq == [2, 3, 1]
            assert (config.learning_rate, config.batch_size, config.epochs) == (0.5, 64, 3)

    def test_every_key_of_a_job_may_be_a_choice_of_that_name(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others = sorted(JOB_KEYS - {"training", "choices", "arch_seq"})
        for name in others:
            monkeypatch.setattr(Colliding, "names", ("first", name, "third"))
            job = read({"first": 1, name: 2, "third": 3}, seed=4, epochs=5)
            assert job.arch_seq == [1, 2, 3], name
            assert job.config().epochs == 5
            assert job.problem.name == "digits"

    def test_what_may_be_meant_either_way_is_refused(self) -> None:
        arch_seq = {"arch_seq": [2, 3, 1]}
        with pytest.raises(InvalidValueError, match=r"'learning_rate' is a choice.*training="):
            read({**arch_seq, "learning_rate": 0.1}).config()
        with pytest.raises(InvalidValueError, match="'batch_size' is a choice"):
            read({"learning_rate": 1, "units": 1}, batch_size=3).arch_seq  # noqa: B018
        assert read(arch_seq, learning_rate=0.1).config().learning_rate == 0.1
        assert read({**arch_seq, "training": {"batch_size": 8}}).config().batch_size == 8

    def test_an_architecture_is_given_once(self) -> None:
        with pytest.raises(InvalidValueError, match="twice"):
            read({"arch_seq": [1, 1, 1], "choices": CHOICES}).graph()
        with pytest.raises(InvalidValueError, match="says 2 for choice 'units', and 1"):
            read({"arch_seq": [2, 3, 1], "units": 2}).graph()
        assert read({"arch_seq": [2, 3, 1], "units": 1}).arch_seq == [2, 3, 1]
        with pytest.raises(InvalidValueError, match="does not say choice 'units'"):
            read({"choices": {"learning_rate": 1, "batch_size": 1}}).graph()


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("job", "told"),
        [
            ({"epoch": 3}, "'epoch' (did you mean 'epochs'?)"),
            ({"unit": 3}, "'unit' (did you mean 'units'?)"),
            ({"training": {"learning_rat": 1}}, "'learning_rat' (did you mean 'learning_rate'?)"),
            ({"choices": {"unitz": 1}}, "'unitz' (did you mean 'units'?)"),
            ({"training": 3}, "training is 3; it must be a mapping"),
            ({"parameters": 3}, "parameters is 3; it must be a mapping"),
            ({"training": {"learning_rate": "fast"}}, "learning_rate is 'fast'"),
            ({"training": {"epochs": "3"}}, "epochs is '3'"),
        ],
    )
    def test_are_refused_with_the_nearest_one(self, job: dict[str, Any], told: str) -> None:
        with pytest.raises(InvalidValueError) as caught:
            read({**({} if "choices" in job else CHOICES), **job}).config()
        assert told in str(caught.value)

    def test_are_refused_among_settings_as_well(self) -> None:
        with pytest.raises(InvalidValueError, match="did you mean 'optimizer'"):
            read(dict(CHOICES), optimiser="sgd").config()

    def test_without_a_space_the_space_is_what_is_wrong(self) -> None:
        assert sort_keys({"layer_7": 1}, {"epochs": 2}, None).training == {"epochs": 2}


class TestDeepHyper:
    def test_a_searched_training_value_is_no_choice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from deephyper.evaluator import RunningJob

        monkeypatch.setattr(Colliding, "names", ("layer_0", "layer_1", "layer_2"))
        problem = Colliding().problem()
        problem.add_hyperparameter((1e-4, 1e-1, "log-uniform"), "learning_rate")
        assert set(problem.hyperparameter_names) == {*Colliding.names, "learning_rate"}
        parameters = {"layer_0": 1, "layer_1": 2, "layer_2": 3, "learning_rate": 0.03}
        for job in (parameters, {"parameters": parameters}, RunningJob(parameters=parameters)):
            read_job = read(job)  # type: ignore[arg-type]
            assert read_job.arch_seq == [1, 2, 3]
            assert read_job.config().learning_rate == 0.03


def test_training_keys_are_fields_of_the_configuration() -> None:
    from parsl_tl.training import TrainingConfig

    assert set(TRAINING_KEYS) < set(TrainingConfig.__dataclass_fields__)
