"""Ids are 64 bits wide, and stay so where pandas and polars read them."""

import pandas as pd
import pyarrow.parquet as pq
import pytest
from small_models import GRAPH, leave

from parsl_tl import open_store

PARENT, CHILD, ALONE = 2**64 - 1, 2**63 + 1, 2**53 + 1


@pytest.fixture
def table(tmp_path):
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        leave(store, PARENT, ALONE)
        store.put(CHILD, GRAPH, {}, quality=0.7, parent=PARENT)
        yield store.models()


def check(frame):
    assert frame["model_id"].tolist() == [PARENT, ALONE, CHILD]
    assert frame["parent"].isna().tolist() == [True, True, False]
    assert int(frame["parent"].iloc[2]) == PARENT
    assert frame.set_index("model_id").loc[CHILD, "quality"] == 0.7


def test_ids_with_nulls_stay_exact_in_pandas(table):
    assert table["parent"].to_pylist() == [None, None, PARENT]
    check(table.to_pandas())
    check(table.sort_by("created").to_pandas())
    check(table.select(["model_id", "parent", "quality"]).to_pandas())


def test_and_when_the_table_goes_through_a_file(table, tmp_path):
    pq.write_table(table, tmp_path / "models.parquet")
    check(pd.read_parquet(tmp_path / "models.parquet"))


def test_a_store_without_models_gives_an_empty_frame(tmp_path):
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        frame = store.models().to_pandas()
    assert len(frame) == 0
    assert {"model_id", "parent", "donor", "quality"} <= set(frame.columns)
