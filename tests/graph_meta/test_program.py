"""``mpiexec -n N python -m parsl_tl.graph_meta`` as a user runs it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mpi_run import end_ranks, run_ranks, start_ranks

from parsl_tl.graph_meta.file_slices import FileSlice
from parsl_tl.graph_meta.queries import QuerySample
from parsl_tl.graph_meta.readers import read_slice
from parsl_tl.population.part_files import SCHEMA
from parsl_tl.store.prefix_index import PrefixIndex

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow

PROGRAM = ("-m", "parsl_tl.graph_meta")
COMMAND = ("-m", "parsl_tl.cli", "graph-meta")


def single_process_answers(paths, num_queries, seed=0):
    """What one index in this process answers to the program's queries."""
    index, slices, first = PrefixIndex(), [], 0
    for path in paths:
        count = path.read_bytes().count(b"\n")
        slices.append(FileSlice(path, 0, path.stat().st_size, first, 1, count))
        first += count
    sample = QuerySample(num_queries, first, seed, slices)
    for file_slice in slices:
        for batch in read_slice(file_slice):
            sample.collect(batch)
            index.add(batch.ids, batch.layer_starts, batch.keys, None, batch.ids)
    numbers, models = sample.queries()
    assert numbers.tolist() == list(range(num_queries))
    found = index.best(models.layer_starts, models.keys)
    return pd.DataFrame(
        {
            "query": numbers,
            "made_of": models.ids.astype(np.int64),
            "model_id": found.ids.astype(np.int64),
            "length": found.lengths,
            "quality": found.qualities,
        }
    )


@pytest.mark.parametrize("num_ranks", [1, 2, 4])
def test_answers_are_those_of_one_index(num_ranks, model_files, tmp_path):
    options = ("--queries", 80, "--walk-queries", 40, "--batch", 7, "--out", tmp_path / "out")
    code, out, err = run_ranks(num_ranks, *PROGRAM, *model_files, *options)
    assert code == 0, err
    assert err == ""
    found = pd.read_parquet(tmp_path / "out" / "answers.parquet")
    expected = single_process_answers(model_files, 80)
    pd.testing.assert_frame_equal(found, expected)
    assert (found.length > 0).all()
    queries = pd.read_csv(tmp_path / "out" / "queries.csv")
    assert queries.method.tolist() == ["index"] * 3 + ["walk"] * 2
    assert queries.same_answers.dropna().tolist() == ["40 of 40"] * 2
    assert queries.queries.tolist()[1:3] == [80, 80]
    loading = pd.read_csv(tmp_path / "out" / "loading.csv")
    assert (loading.ranks[0], loading.models[0]) == (num_ranks, 300)
    # Only rank 0 prints.
    assert out.count("queries (latencies in microseconds)") == 1
    assert (tmp_path / "out" / "machine.json").exists()


def test_without_mpiexec(model_files, tmp_path):
    command = [sys.executable, *PROGRAM, *map(str, model_files), "--out", str(tmp_path / "out")]
    command += ["--no-walk", "--max-models", "150", "--queries", "20"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert pd.read_csv(tmp_path / "out" / "loading.csv").models.tolist() == [150]
    assert pd.read_csv(tmp_path / "out" / "answers.csv").model_id.max() < 150
    assert set(pd.read_csv(tmp_path / "out" / "queries.csv").method) == {"index"}


def write_table(path, graphs):
    table = pa.table(
        {
            "number": pa.array(range(len(graphs)), pa.int64()),
            "prefix_hashes": pa.array(
                [graph.prefix_hashes.tolist() for graph in graphs], pa.list_(pa.uint64())
            ),
            "edge_sources": pa.array(
                [graph.edges[:, 0].tolist() for graph in graphs], pa.list_(pa.uint16())
            ),
            "edge_targets": pa.array(
                [graph.edges[:, 1].tolist() for graph in graphs], pa.list_(pa.uint16())
            ),
        }
    ).replace_schema_metadata(SCHEMA.metadata)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=37)
    else:
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table, max_chunksize=41)


@pytest.mark.parametrize("limit", [None, 170])
def test_tables_of_hashes_give_the_same_answers(limit, graphs, model_files, tmp_path):
    paths = [tmp_path / "population_0.parquet", tmp_path / "population_1.arrow"]
    write_table(paths[0], graphs[:100])
    write_table(paths[1], graphs[100:])
    options = ["--queries", 60, "--walk-queries", 30]
    options += ["--max-models", limit] if limit else []
    for files, name in ((model_files, "json"), (paths, "tables")):
        code, out, err = run_ranks(2, *PROGRAM, *files, *options, "--out", tmp_path / name)
        assert code == 0, err
        assert "30 of 30" in out
    found, expected = (pd.read_csv(tmp_path / name / "answers.csv") for name in ("tables", "json"))
    pd.testing.assert_frame_equal(found, expected)


def test_traces_of_keras_2_give_the_same_answers(tmp_path):
    data = Path(__file__).parents[1] / "data"
    for name in ("keras2", "keras3"):
        options = ("--queries", 40, "--out", tmp_path / name)
        code, out, err = run_ranks(2, *PROGRAM, data / f"{name}_models.json", *options)
        assert code == 0, err
        assert "40 of 40" in out
    found, expected = (pd.read_csv(tmp_path / n / "answers.csv") for n in ("keras2", "keras3"))
    pd.testing.assert_frame_equal(found, expected)


def damaged(paths, folder, change):
    """The second file, changed, among the others."""
    path = folder / "models_1.json"
    path.write_bytes(change(paths[1].read_bytes().splitlines(keepends=True)))
    return [paths[0], path, paths[2]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: b"".join(lines)[:-200], "line 100: the file ends within it, after"),
        (lambda lines: b"".join([*lines[:70], b"\n", *lines[70:]]), "line 71: it is empty"),
        (
            lambda lines: b"".join([*lines[:4], lines[4].replace(b'"}', b'"', 1), *lines[5:]]),
            "line 5: this is not JSON",
        ),
        (
            lambda lines: b"".join([*lines[:9], b'{"class_name": "Model"}\n', *lines[10:]]),
            "line 10: this is not the JSON of a Keras model (it has no 'config'); write it with",
        ),
        (
            lambda lines: b"".join(
                [*lines[:50], lines[50].replace(b'history": ["', b'history": ["no'), *lines[51:]]
            ),
            "line 51: an input comes from 'no",
        ),
        (lambda lines: b"\x00\x01\x02" * 1000, "line 1: "),
    ],
)
def test_a_malformed_line_is_named_and_ends_all(change, message, model_files, tmp_path):
    files = damaged(model_files, tmp_path, change)
    code, out, err = run_ranks(3, *PROGRAM, *files, "--out", tmp_path / "out")
    assert code == 2
    assert re.search(rf"(?m)^graph_meta: error: rank \d: {re.escape(str(files[1]))}, ", err), err
    assert f"models_1.json, {message}" in err
    assert "Traceback" not in err
    assert "queries (latencies" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere.json"], "nowhere.json cannot be read: No such file or directory; name files"),
        (["FILE", "--queries", "0"], "--queries 0 must be at least 1"),
        (["FILE", "--batch", "-1"], "--batch -1 must be at least 1"),
        (["FILE", "--max-models", "0"], "--max-models 0 must be at least 1"),
        (["FILE", "--out", "FILE/out"], "name another folder"),
        (["EMPTY"], "there is no model in"),
        (["TABLE"], "has no column 'prefix_hashes', but a; name a population_<n> file"),
        (["NO_TABLE"], "cannot be read"),
        (["OLD_TABLE"], "holds layer hashes of another release, or does not say of which"),
        (["FILE", "--speed"], "unrecognized arguments: --speed"),
        ([], "the following arguments are required: FILE"),
    ],
)
def test_what_cannot_be_is_told_by_one_rank(options, message, model_files, tmp_path):
    files = {"FILE": model_files[0], "EMPTY": tmp_path / "empty.json"}
    files |= {"TABLE": tmp_path / "other.parquet", "NO_TABLE": tmp_path / "no.arrow"}
    files["OLD_TABLE"] = tmp_path / "old.parquet"
    lists = pa.array([[1]], pa.list_(pa.uint64()))
    columns = dict.fromkeys(("prefix_hashes", "edge_sources", "edge_targets"), lists)
    pq.write_table(pa.table(columns), files["OLD_TABLE"])
    files["EMPTY"].touch()
    files["NO_TABLE"].write_text("nothing")
    pq.write_table(pa.table({"a": [1]}), files["TABLE"])
    given = [str(files.get(word, word)).replace("FILE/", f"{model_files[0]}/") for word in options]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "out")]
    code, _, err = run_ranks(2, *PROGRAM, *given)
    assert code == 2
    assert err.count(message) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("program", "usage"),
    [(PROGRAM, "python -m parsl_tl.graph_meta"), (COMMAND, "parsl-tl graph-meta")],
)
def test_help_is_told_once(program, usage):
    code, out, _ = run_ranks(2, *program, "--help")
    assert code == 0
    assert out.count(f"usage: {usage} ") == 1
    assert out.count("mpiexec -n 4 parsl-tl graph-meta models_*.json") == 1


def test_without_mpi4py_the_extra_is_named(model_files, tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no mpi4py here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, *PROGRAM, str(model_files[0])]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert run.returncode == 2
    assert "pip install 'parsl-tl[mpi]'" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("who", "number"),
    [("rank", signal.SIGTERM), ("mpiexec", signal.SIGINT)],
)
def test_signals_end_all_ranks(who, number, model_files, tmp_path):
    options = ("--queries", 100_000, "--no-walk", "--out", tmp_path / "out")
    process = start_ranks(2, *PROGRAM, *model_files, *options)
    for line in process.stdout:
        if "all ranks ask" in line or "one rank asks" in line:
            break
    family = psutil.Process(process.pid).children(recursive=True)
    ranks = [child for child in family if "parsl_tl.graph_meta" in child.cmdline()]
    assert len(ranks) == 2
    os.kill(ranks[1].pid if who == "rank" else process.pid, number)
    code, _, _ = end_ranks(process, timeout=60)
    assert code != 0
    deadline = time.monotonic() + 30
    while any(child.is_running() for child in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [child for child in family if child.is_running()] == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [12_000, pytest.param(60_000, marks=pytest.mark.full)])
def test_many_models_on_four_ranks(tmp_path, count):
    """The answers to 1,000 queries are those of one index, and a walk's."""
    from parsl_tl.population import assembler_for
    from parsl_tl.population.catalog import evolve_catalog
    from parsl_tl.spaces import DenseSkipSpace

    catalog = evolve_catalog(count, seed=5, num_layers=4)
    assembler = assembler_for(DenseSkipSpace(4), (10,), (1,))
    paths = [tmp_path / f"models_{part}.json" for part in range(4)]
    for part, path in enumerate(paths):
        with open(path, "wb") as file:
            for start in range(part * count // 4, (part + 1) * count // 4, 3000):
                rows = catalog.arch_seqs[start : start + 3000]
                file.write(assembler.assemble_with_json(rows)[1])
    code, out, err = run_ranks(4, *PROGRAM, *paths, "--out", tmp_path / "out", timeout=500)
    assert code == 0, err
    assert "100 of 100" in out
    found = pd.read_parquet(tmp_path / "out" / "answers.parquet")
    pd.testing.assert_frame_equal(found, single_process_answers(paths, 1000))
