"""Names that are not known."""

import pytest

from parsl_tl.errors import CampaignError, InvalidValueError
from parsl_tl.suggestions import check_names, did_you_mean


def test_the_nearest_name_is_told():
    assert did_you_mean("epoch", ["epochs", "seed"]) == " (did you mean 'epochs'?)"
    assert did_you_mean("xyzzy", ["epochs", "seed"]) == ""


def test_unknown_names_are_refused_with_the_known_ones():
    check_names(["seed"], ["epochs", "seed"], "a job")
    with pytest.raises(InvalidValueError, match=r"a job does not take 'sed' \(did.*'seed'.*epochs"):
        check_names(["seed", "sed"], ["epochs", "seed"], "a job")
    with pytest.raises(CampaignError, match="it takes nothing"):
        check_names(["x"], [], "a campaign", CampaignError)
