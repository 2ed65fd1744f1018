"""What options and settings take for a number of bytes."""

import pytest

from parsl_tl import Campaign
from parsl_tl.arguments import byte_count
from parsl_tl.errors import InvalidValueError


@pytest.mark.parametrize(
    ("given", "number"),
    [
        *(("4GB", 4 * 10**9), ("512 MiB", 2**29), ("1.5k", 1500), ("2tb", 2 * 10**12)),
        *(("1000000", 10**6), (7, 7), ("off", 0)),
    ],
)
def test_bytes_are_read(given, number):
    assert byte_count(given) == number


@pytest.mark.parametrize("given", ["much", "-1", "4 XB", ""])
def test_what_is_no_number_of_bytes_is_told(given):
    with pytest.raises(InvalidValueError, match="no number of bytes"):
        byte_count(given)


def test_a_campaign_takes_sizes_as_texts(tmp_path):
    campaign = Campaign(
        "digits", "feed-forward", out=tmp_path / "run", prefix_cache="4GB", share_data="off"
    )
    assert (campaign.settings.prefix_cache, campaign.settings.share_data) == (4 * 10**9, 0)
    again = Campaign.resume(tmp_path / "run", expected={"prefix_cache": "4GB"})
    assert again.settings.prefix_cache == 4 * 10**9
