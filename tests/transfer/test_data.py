"""Donors of the same data only, whatever keeps the models."""

import logging

import pytest
from small_models import candidate
from transfer_checks import keep

from parsl_tl.errors import InvalidValueError
from parsl_tl.transfer.data_arguments import data_arguments
from parsl_tl.transfer.store import disconnect


def donor_of(method, *widths, **kwargs):
    model, graph = candidate(*widths)
    return method.transfer(model, graph, model_id=99, **kwargs).donor


def test_donors_are_of_allowed_data(method):
    for model_id, widths, fingerprint in ((1, (8, 6, 5), 1), (2, (8, 6), 2), (3, (8,), 0)):
        keep(method, *candidate(*widths), model_id, fingerprint=fingerprint)
    widths = (8, 6, 5, 4)
    allowed = (None, {1}, {2}, {0}, {0, 2}, {3}, ())
    assert [donor_of(method, *widths, fingerprints=some) for some in allowed] == [
        1, 1, 2, 3, 2, None, None
    ]  # fmt: skip
    method.close()  # what it knew of the models is gone
    assert donor_of(method, *widths, fingerprints={2}) == 2
    method.retire(2)
    assert donor_of(method, *widths, fingerprints={2}) is None


def test_a_parent_of_other_data_is_no_donor(make, kind):
    if kind == "store":
        pytest.skip("it searches, whoever the parent is")
    method = make(kind, donor="parent")
    keep(method, *candidate(8, 6), 1, fingerprint=1)
    assert donor_of(method, 8, 6, parent=1, fingerprints={1}) == 1
    assert donor_of(method, 8, 6, parent=1, fingerprints={2}) is None


def test_a_model_on_its_way_is_a_donor_for_its_data_only(make):
    method = make("store", overlap=True)
    keep(method, *candidate(8, 6), 1, fingerprint=1)
    keep(method, *candidate(8, 6, 5), 2, fingerprint=2)
    assert donor_of(method, 8, 6, 5, fingerprints={1}) == 1
    assert donor_of(method, 8, 6, 5, fingerprints={2}) == 2
    disconnect()


@pytest.mark.parametrize("wrong", [-1, 2**64, 0.5])
def test_what_is_no_fingerprint_is_refused(method, wrong):
    with pytest.raises(InvalidValueError, match=str(wrong)):
        keep(method, *candidate(8), 1, fingerprint=wrong)
    with pytest.raises(InvalidValueError, match=str(wrong)):
        donor_of(method, 8, fingerprints={wrong})
    assert donor_of(method, 8) is None


class Older:
    """The calls of a transfer method from before there were fingerprints."""

    def transfer(self, model, graph, *, model_id, parent=None):
        return "transferred"

    def store(self, model, graph, trained, *, model_id, quality, **more):
        return more


def test_a_method_that_takes_no_fingerprints_works_and_the_log_says_so_once(caplog):
    method = Older()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            more = data_arguments(method.transfer, fingerprints={1})
            assert method.transfer(None, None, model_id=1, **more) == "transferred"
    (told,) = caplog.messages
    assert "Older.transfer" in told
    assert "'fingerprints'" in told
    assert data_arguments(method.store, fingerprint=5) == {"fingerprint": 5}
    assert data_arguments(method.transfer, fingerprints=None) == {}
    assert data_arguments(method.store, fingerprint=0) == {}
    assert len(caplog.messages) == 1


def test_methods_of_this_release_take_them(method):
    assert data_arguments(method.transfer, fingerprints=[3]) == {"fingerprints": [3]}
    assert data_arguments(method.store, fingerprint=3) == {"fingerprint": 3}
