"""Files of a population: written whole or not at all, read by anyone, refused by name."""

import json
import os
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import PopulationError, SpaceError
from parsl_tl.population import (
    PopulationDescription,
    PopulationFolder,
    plan,
    read_population,
    write_part,
)
from parsl_tl.population.draws import random_sequences
from parsl_tl.population.folder import remove_parts
from parsl_tl.population.part_files import has_current_hashes
from parsl_tl.population.redraws import redraws_text

SMALL = PopulationDescription.of(50, space="dense-skip", space_args={"num_layers": 2}, seed=7)


def write(folder, parts=1, description=SMALL, formats=("json", "parquet"), **kwargs):
    task = plan(description, folder, formats, **kwargs)
    reports = [write_part(task, part, parts) for part in range(parts)]
    remove_parts(task.folder, parts)
    assert sum(report.models for report in reports) == task.description.size
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines_of(folder):
    found = [path for path in folder.iterdir() if path.name.startswith("models_")]
    paths = sorted(found, key=lambda path: int(path.stem.split("_")[1]))
    return b"".join(path.read_bytes() for path in paths).splitlines()


@pytest.mark.parametrize("formats", [("json",), ("parquet",), ("arrow",), ("arrow", "json")])
def test_every_format_holds_the_same_population(tmp_path, formats):
    expected = read_population(write(tmp_path / "both", 1))
    population = read_population(write(tmp_path / "own", 3, formats=formats))
    assert population.table.equals(expected.table)
    assert population.description == SMALL
    names = {path.suffix for path in (tmp_path / "own").iterdir()}
    assert names == {".json", *(f".{form}" for form in formats)}
    assert (tmp_path / "own" / "models_0.json").exists() == ("json" in formats)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_hashes_of_another_scheme_are_made_anew(tmp_path, form):
    folder = write(tmp_path / "p", 2, formats=(form,))
    expected = read_population(folder).table
    for path in folder.glob(f"population_*.{form}"):
        table = pq.read_table(path) if form == "parquet" else pa.ipc.open_file(path).read_all()
        assert has_current_hashes(table.schema)
        wrong = pa.array([[0]] * len(table), pa.list_(pa.uint64()))
        place = table.schema.get_field_index("prefix_hashes")
        table = table.set_column(place, "prefix_hashes", wrong).replace_schema_metadata(None)
        path.unlink()  # what was read from it may still be mapped
        if form == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as file:
                file.write_table(table)
    assert read_population(folder).table.equals(expected)


def test_rows_say_what_the_lines_say(tmp_path):
    folder = write(tmp_path / "p", formats=("json", "arrow"))
    frame = pd.read_feather(folder / "population_0.arrow")
    assert frame["number"].tolist() == list(range(50))
    assert frame["parent"].isna().all()
    space = SMALL.make_space()
    for line, row in zip(lines_of(folder), frame.itertuples(), strict=True):
        graph = ArchitectureGraph.from_json(line)
        assert graph == space.build(row.arch_seq.tolist(), (32,), (1,))
        assert graph.prefix_hashes.tolist() == row.prefix_hashes.tolist()
        edges = np.stack([row.edge_sources, row.edge_targets], axis=1)
        assert graph.edges.tolist() == edges.tolist()
    metadata = json.loads((folder / "metadata_0.json").read_text())
    assert metadata["seed"] == 7
    assert metadata["population"] == [row.tolist() for row in frame["arch_seq"]]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9), st.integers(0, 60))
@settings(max_examples=15, deadline=None)
def test_the_number_of_parts_changes_nothing(tmp_path_factory, size, parts, others, evolved):
    base = tmp_path_factory.mktemp("parts")
    description = PopulationDescription.of(size, space="seq", space_args={"num_layers": 2})
    first, second = (
        write(base / name, count, description, ("json", "parquet"))
        for name, count in (("one", parts), ("two", others))
    )
    assert lines_of(first) == lines_of(second)
    count = min(evolved, size)
    options = {"formats": ("json", "parquet"), "evolve_count": count, "seed": 3}
    own = write(base / "a", others, None, initial_folder=first, **options)
    other = write(base / "b", parts, None, initial_folder=second, **options)
    assert lines_of(own) == lines_of(other)
    before, after = read_population(first), read_population(own)
    changed = (before.arch_seqs() != after.arch_seqs()).sum(axis=1)
    assert changed.tolist() == [1] * count + [0] * (size - count)
    assert after.table["parent"].to_pylist() == [*range(count), *[None] * (size - count)]
    assert after.description.generation == 1


def test_fewer_parts_leave_nothing_of_an_earlier_population(tmp_path):
    write(tmp_path / "p", 5)
    write(tmp_path / "p", 2, formats=("arrow",))
    assert sorted(contents(tmp_path / "p")) == [
        *("metadata_0.json", "metadata_1.json", "population_0.arrow", "population_1.arrow")
    ]


def test_a_second_generation_draws_anew(tmp_path):
    folders = [write(tmp_path / "0")]
    for generation in (1, 2):
        folders.append(
            write(tmp_path / str(generation), 1, None, initial_folder=folders[-1], evolve_count=50)
        )
    a, b, c = (read_population(folder).arch_seqs() for folder in folders)
    assert ((a != b).argmax(axis=1) != (b != c).argmax(axis=1)).any()


def test_sequences_of_another_program_are_read(tmp_path):
    """Only a seed and a population, as other generators write them."""
    (tmp_path / "p").mkdir()
    space = SMALL.make_space()
    rows = [[0] * len(space.choices()), [1] * len(space.choices())]
    for part in (0, 1):
        text = json.dumps({"seed": part, "population": rows[part : part + 1]})
        (tmp_path / "p" / f"metadata_{part}.json").write_text(text)
    found = PopulationFolder(tmp_path / "p")
    assert found.size == 2
    with pytest.raises(PopulationError, match="--space"):
        _ = found.description
    write(tmp_path / "q", 3, SMALL, initial_folder=tmp_path / "p", evolve_count=1)
    evolved = read_population(tmp_path / "q").arch_seqs()
    assert evolved[1].tolist() == rows[1]
    assert (evolved[0] != rows[0]).sum() == 1


def truncate(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("name", ["metadata_1.json", "population_1.parquet"])
def test_a_truncated_file_is_named(tmp_path, name):
    folder = write(tmp_path / "p", 2)
    truncate(folder / name)
    found = PopulationFolder(folder)
    is_table = name.startswith("population")
    with pytest.raises(PopulationError, match=rf"{name} cannot be read.*generate it anew"):
        found.read() if is_table else list(found.chunks(0, 50))
    before = contents(write(tmp_path / "q", 2))
    if not is_table:
        with pytest.raises(PopulationError, match=name):
            write(tmp_path / "q", 2, None, initial_folder=folder, evolve_count=3)
        # The first part did not need the file; the second one is as it was.
        after = contents(tmp_path / "q")
        assert set(after) == set(before)
        assert after["models_1.json"] == before["models_1.json"]


def test_parts_that_do_not_belong_together_are_refused(tmp_path):
    folder = write(tmp_path / "p", 3)
    (folder / "metadata_1.json").unlink()
    with pytest.raises(PopulationError, match=r"metadata_1.json is missing.*3 parts"):
        read_population(folder)
    other = write(tmp_path / "q", 3, PopulationDescription.of(50, seed=8))
    (folder / "metadata_1.json").write_bytes((other / "metadata_1.json").read_bytes())
    with pytest.raises(PopulationError, match="another population"):
        read_population(folder)


def test_what_can_never_work_is_refused_before_anything_is_touched(tmp_path):
    folder = write(tmp_path / "p")
    before = contents(folder)
    for arguments, options, message in (
        ((SMALL, folder, ()), {}, "formats"),
        ((SMALL, folder, ("xml",)), {}, "'xml'"),
        ((SMALL, folder), {"evolve_count": 51}, "evolve_count=51"),
        ((SMALL, folder), {"evolve_count": -1}, "evolve_count=-1"),
        ((None, folder), {"initial_folder": folder}, "while it is read"),
        ((None, folder), {"initial_folder": tmp_path}, "holds no population"),
        ((None, folder), {"initial_folder": tmp_path / "nowhere"}, "is no folder"),
        ((None, folder), {}, "say what to generate"),
    ):
        with pytest.raises(PopulationError, match=message):
            plan(*arguments, **options)
    with pytest.raises(PopulationError, match="size 0"):
        PopulationDescription.of(0)
    with pytest.raises(PopulationError, match="seed -1"):
        PopulationDescription.of(1, seed=-1)
    with pytest.raises(SpaceError, match="vectors"):
        plan(PopulationDescription.of(1, input_shape=(2, 2)), folder)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PopulationError, match="name another folder"):
        plan(SMALL, file / "below")
    assert contents(folder) == before


def test_sequences_of_another_space_are_refused(tmp_path):
    write(tmp_path / "p")
    path = tmp_path / "p" / "metadata_0.json"
    path.write_text(path.read_text().replace('"num_layers": 2', '"num_layers": 3'))
    with pytest.raises(PopulationError, match="not of the space"):
        write(tmp_path / "q", 1, None, initial_folder=tmp_path / "p")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_leaves_what_was_there(tmp_path):
    folder = write(tmp_path / "p")
    before = contents(folder)
    (folder / ".models_0.json.part").symlink_to("/dev/full")
    with pytest.raises(PopulationError, match="No space left on device"):
        write(folder, 1, PopulationDescription.of(2000, seed=1))
    assert contents(folder) == before


@pytest.mark.parametrize("evolve_count", [0, 40])
def test_members_that_cannot_exist_are_drawn_again(tmp_path, evolve_count):
    few_genes = PopulationDescription.of(60, space="nt3", input_shape=(7, 1), output_shape=(2,))
    task = plan(few_genes, tmp_path / "one", evolve_count=evolve_count)
    redrawn = write_part(task, 0, 1).redrawn
    assert redrawn
    assert all("larger than its input" in reason for reason in redrawn)
    told = redraws_text([redrawn, {}])
    assert told.startswith(f"drawn again: {sum(redrawn.values())} members that cannot exist")
    assert redraws_text([{}]) == ""
    # However it is cut, and whatever is written, the population is the same.
    parts = plan(few_genes, tmp_path / "three", ("arrow",), evolve_count=evolve_count)
    reports = [write_part(parts, part, 3) for part in range(3)]
    assert sum((Counter(report.redrawn) for report in reports), Counter()) == redrawn
    one, three = (PopulationFolder(tmp_path / name) for name in ("one", "three"))
    rows = [np.concatenate(list(folder.chunks(0, 60))) for folder in (one, three)]
    assert rows[0].tolist() == rows[1].tolist()
    space = few_genes.make_space()
    for row in rows[0].tolist():
        space.build(row, (7, 1), (2,))
    sizes = [len(choice.values) for choice in space.choices()]
    first = random_sequences(sizes, few_genes.seed, 0, 60)
    # The others stay what they were.
    assert evolve_count or 0 < (rows[0] == first).all(axis=1).sum() < 60


def test_where_nothing_can_exist_no_population_is_written(tmp_path):
    one_gene = PopulationDescription.of(3, space="nt3", input_shape=(1, 1), output_shape=(2,))
    with pytest.raises(PopulationError, match=r"none of 101 .* larger than its input of 1"):
        write_part(plan(one_gene, tmp_path), 0, 1)
