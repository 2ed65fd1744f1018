"""What a search trains: architectures that can exist and keep the limits; and the Pareto front."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.errors import ImpossibleArchitectureError, InvalidValueError, SpaceError
from parsl_tl.problems import Problem
from parsl_tl.search import ExpiringRegularizedEvolution
from parsl_tl.search.admission import Admission, check_limits, check_measures
from parsl_tl.search.candidate import arch_seq_of
from parsl_tl.search.pareto import pareto_optimal
from parsl_tl.spaces import get_space
from parsl_tl.spaces.feed_forward import FeedForwardSpace
from parsl_tl.spaces.hyperparameters import with_hyperparameters

SPACE = get_space("feed-forward", num_layers=3, units=(4, 16, 4), activations=["relu"])
NAMES = [choice.name for choice in SPACE.choices()]


class Small(Problem):
    name, input_shape, output_shape = "small", (3,), (2,)

    def _load(self):
        raise AssertionError("nobody needs its data")


class Picky(FeedForwardSpace):
    """Has no network whose first layer is the widest choice."""

    def assemble(self, labels, inputs, heads):
        if labels[0] == "16 relu":
            raise ImpossibleArchitectureError("too wide a start")
        return super().assemble(labels, inputs, heads)


def run(search, evaluations, names=NAMES):
    told = []
    for _ in range(evaluations):
        (config,) = search.ask(1)
        search.tell([(config, float(sum(arch_seq_of(config, names))))])
        told.append(arch_seq_of(config, names))
    return told


def search_of(space, admission, tmp_path, **kwargs):
    return ExpiringRegularizedEvolution(
        space,
        population_size=4,
        sample_size=3,
        log_dir=str(tmp_path),
        identify=admission.identity,
        refuse=admission.refuse,
        **kwargs,
    )


def test_measures_are_those_of_the_model():
    admission = Admission(SPACE, Small())
    for arch_seq in ([0, 0, 0], [1, 2, 0], [4, 4, 4]):
        model = SPACE.build(arch_seq, (3,), (2,)).to_keras()
        expected = (model.count_params(), 4 * model.count_params(), len(model.layers))
        assert admission.measure(arch_seq, ["parameters", "bytes", "layers"]) == expected


def test_what_is_over_a_limit_is_drawn_again(tmp_path):
    admission = Admission(SPACE, Small(), {"parameters": 150})
    asked = run(search_of(SPACE, admission, tmp_path), 20)
    sizes = [admission.measure(arch_seq, ["parameters"])[0] for arch_seq in asked]
    assert max(sizes) <= 150
    assert set(admission.refused) == {"over the limit of 150 parameters"}
    assert "drawn again instead of trained" in admission.summary()
    assert len({tuple(one) for one in asked}) == 20


def test_what_cannot_exist_is_counted_by_reason(tmp_path):
    space = Picky(num_layers=3, units=(4, 16, 4), activations=["relu"])
    admission = Admission(space, Small())
    asked = run(search_of(space, admission, tmp_path), 30)
    assert all(arch_seq[0] != 4 for arch_seq in asked)
    assert set(admission.refused) == {"too wide a start"}


def test_a_limit_that_nothing_keeps_is_an_error_and_no_endless_search(tmp_path):
    admission = Admission(SPACE, Small(), {"parameters": 1})
    with pytest.raises(SpaceError, match="raise the limits"):
        search_of(SPACE, admission, tmp_path).ask(1)


def test_an_interrupted_search_asks_for_the_same(tmp_path):
    whole = run(search_of(SPACE, Admission(SPACE, Small(), {"layers": 4}), tmp_path), 15)
    again = run(search_of(SPACE, Admission(SPACE, Small(), {"layers": 4}), tmp_path), 15)
    assert whole == again


def test_hyperparameters_are_part_of_what_is_evaluated_and_of_no_hash():
    space = with_hyperparameters(SPACE, {"learning_rate": [0.1, 0.01], "batch_size": [8]})
    admission = Admission(space, Small())
    assert admission.identity([1, 2, 0, 0, 0]) != admission.identity([1, 2, 0, 1, 0])
    assert admission.identity([1, 2, 0, 1, 0]) == admission.identity([0, 1, 2, 1, 0])
    graphs = [space.build([1, 2, 0, rate, 0], (3,), (2,)) for rate in (0, 1)]
    assert graphs[0] == graphs[1] == SPACE.build([1, 2, 0], (3,), (2,))
    assert space.training([1, 2, 0, 1, 0]) == {"learning_rate": 0.01, "batch_size": 8}


def test_costs_steer_the_search_to_smaller_networks(tmp_path):
    def sizes(costs):
        admission = Admission(SPACE, Small())
        given = (lambda arch_seq: admission.measure(arch_seq, ["parameters"])) if costs else None
        asked = run(search_of(SPACE, admission, tmp_path, costs=given), 60)[20:]
        return np.mean([admission.measure(arch_seq, ["parameters"]) for arch_seq in asked])

    assert sizes(costs=True) < sizes(costs=False)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"paramters": 5}, "parameters"),
        ({"parameters": 0}, "parameters=0"),
        ({"layers": "many"}, "layers='many'"),
        ({"milliseconds": 0}, "milliseconds=0 must be a number above 0"),
    ],
)
def test_wrong_limits(limits, message):
    with pytest.raises(InvalidValueError, match=message):
        check_limits(limits)


def test_milliseconds_are_measured():
    quick = Admission(SPACE, Small(), {"milliseconds": 1e6})
    assert not quick.refuse([1, 2, 0])
    slow = Admission(SPACE, Small(), {"milliseconds": 1e-6})
    assert slow.refuse([1, 2, 0])
    assert "milliseconds a batch" in slow.summary()


def test_wrong_measures():
    with pytest.raises(InvalidValueError, match="twice"):
        check_measures(["layers", "layers"])
    for wrong in ("seconds", "loss", "-layers", "paramters"):
        with pytest.raises(InvalidValueError, match=rf"minimize does not take '{wrong}'"):
            check_measures([wrong])
    assert check_measures(["-val_auroc", "milliseconds"]) == ["-val_auroc", "milliseconds"]


@given(
    st.lists(
        st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan")])] * 3),
        min_size=1,
        max_size=12,
    )
)
def test_pareto_front_against_its_definition(points):
    def dominates(a, b):
        return all(x >= y for x, y in zip(a, b, strict=True)) and a != b

    whole = [not any(np.isnan(point)) for point in points]
    expected = [
        ok and not any(dominates(a, b) for a, fine in zip(points, whole, strict=True) if fine)
        for b, ok in zip(points, whole, strict=True)
    ]
    assert pareto_optimal(np.array(points)).tolist() == expected


def test_equal_points_are_all_on_the_front():
    assert pareto_optimal(np.array(list(itertools.repeat((1.0, 2.0), 3)))).all()
