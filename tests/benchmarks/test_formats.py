"""Every method gives back the bytes it was given, and deletes what it wrote."""

import numpy as np
import pytest
from services import needs_redis

from parsl_tl.benchmarks.core.meeting import Team
from parsl_tl.benchmarks.core.servers import RedisServer, bare_transport
from parsl_tl.benchmarks.formats import FILE_FORMATS, LAYER_FORMATS, methods_of
from parsl_tl.benchmarks.formats.bench_model import PARTS, flat, make_model, width_of
from parsl_tl.benchmarks.formats.file_format import same_arrays
from parsl_tl.benchmarks.formats.method import Case
from parsl_tl.benchmarks.suites.bandwidth import move_models
from parsl_tl.errors import BenchmarkError
from parsl_tl.store import open_store

KINDS = methods_of("store")
(PLAIN,) = KINDS["plain"]


@pytest.fixture(scope="module")
def model():
    return make_model(0.1, 5, seed=3)


@pytest.mark.parametrize("model_mb", [1, 16, 64, 256])
@pytest.mark.parametrize("layers", [5, 20, 50, 200])
def test_models_have_about_the_size_that_was_asked_for(model_mb, layers):
    width = width_of(model_mb, layers)
    assert 4 * layers * (width * width + width) == pytest.approx(model_mb * 1e6, rel=0.03)


@pytest.mark.parametrize(("layers", "tenth"), [(1, 1), (5, 1), (20, 2), (200, 20)])
def test_the_tenth_are_the_last_layers(layers, tenth):
    model = make_model(0.01, layers, seed=0)
    names = [name for name in model.graph.layer_names if "Dense" in name]
    assert list(model.layers("whole")) == names
    assert list(model.layers("tenth")) == names[-tenth:]
    assert len(model.arrays("tenth")) == 2 * tenth


def test_same_seed_same_weights():
    arrays = make_model(0.1, 5, seed=1).arrays("whole")
    assert same_arrays(arrays, make_model(0.1, 5, seed=1).arrays("whole"))
    assert not same_arrays(arrays, make_model(0.1, 5, seed=2).arrays("whole"))
    assert not same_arrays(arrays[1:], arrays)
    assert len({array.tobytes() for array in arrays}) == len(arrays)


def test_formats_are_found_by_what_their_files_declare():
    assert tuple(KINDS) == ("memcpy", "plain", "hdf5", "safetensors", "redis", "store")
    expected = ("memcpy", "bare", "plain", "hdf5", "redis", "embedded", "store")
    assert tuple(methods_of("remote")) == expected
    assert tuple(FILE_FORMATS) == ("weights.h5", "keras", "safetensors", "tensorflow")
    assert tuple(LAYER_FORMATS) == (*FILE_FORMATS, "store")


def test_bare_bytes_land_in_the_array_of_the_caller():
    bare = bare_transport("grpc+tcp")
    server = bare.BareServer("grpc+tcp://127.0.0.1:0")
    out = np.zeros(5_000_001, np.uint8)  # several parts, the last one shorter
    assert bare.BareClient(server.address).get_into(out) > 0
    server.stop()
    assert (out == 1).all()


def case_in(folder, **changes):
    return Case(folder, 0.1, 5, 1, (), 0, **changes)


def do_all(method, model, out):
    """Does every operation three times; returns what they are called."""
    done = []
    for operation in method.operations():
        for _ in range(3):
            for array in flat(out):
                array.fill(-1.0)
            operation.before()
            found = operation.arrays(operation.run())
            assert same_arrays(found, model.arrays(operation.part)), operation
            del found
            operation.after()
        done.append((operation.operation, operation.part, operation.how))
    method.close()
    return done


@pytest.mark.parametrize(
    ("suite", "name"), [("store", "plain"), ("store", "safetensors"), ("remote", "hdf5")]
)
def test_files_give_back_what_was_written(suite, name, model, tmp_path):
    (kind,) = methods_of(suite)[name]
    out = model.destination()
    done = do_all(kind(case_in(tmp_path), model, out, 0), model, out)
    assert list(dict.fromkeys(what[:2] for what in done)) == [
        ("write", "whole"),
        ("read", "whole"),
        ("write", "tenth"),
        ("read", "tenth"),
    ]
    assert len(list((tmp_path / f"{kind.name}-0").iterdir())) == 1  # the one to read


def test_plain_files_hold_the_bytes_and_nothing_else(model, tmp_path):
    plain = PLAIN(case_in(tmp_path), model, model.destination(), 0)
    for part in PARTS:
        plain.writer(part)(tmp_path / part)
        expected = b"".join(array.tobytes() for array in model.arrays(part))
        assert (tmp_path / part).read_bytes() == expected
    plain.path(1).write_bytes(b"cut off")
    with pytest.raises(EOFError, match="ends before"):
        plain.stored(1, "whole")


def test_many_arrays_go_in_several_calls(tmp_path):
    many = make_model(0.1, 700, seed=0)  # 1,400 arrays; a call takes 1,024
    out = many.destination()
    do_all(PLAIN(case_in(tmp_path), many, out, 0), many, out)


@pytest.mark.parametrize(("scheme", "count"), [("", 2), ("grpc+tcp", 4)])
def test_memcpy_copies(scheme, count, model, tmp_path):
    out = model.destination()
    copies = KINDS["memcpy"][0](case_in(tmp_path, scheme=scheme), model, out, 0)
    assert len(do_all(copies, model, out)) == count


@pytest.mark.parametrize("checksums", [True, False])
def test_the_store_gives_back_what_was_written(checksums, model, tmp_path):
    out = model.destination()
    (kind,) = (one for one in KINDS["store"] if one.checksums is checksums)
    method = kind(case_in(tmp_path), model, out, 2)
    done = do_all(method, model, out)
    word = f"checksums {'on' if checksums else 'off'}"
    assert done[0] == ("write", "whole", f"put, {word}")
    assert {how for operation, _, how in done if operation == "read"} == {
        f"{what}, {when}, {word}"
        for what in ("views", "views+copy", "into")
        for when in ("first", "repeat")
    }
    with open_store(f"embedded:{tmp_path / method.folder}") as store:
        assert len(store) == 0  # what was written is retired


@needs_redis
def test_redis_gives_back_what_was_written(model, tmp_path):
    out = model.destination()
    with RedisServer() as server:
        assert server.pid is not None
        case = case_in(tmp_path, redis_socket=server.socket)
        method = KINDS["redis"][0](case, model, out, 1)
        count = server.connect()
        assert len(do_all(method, model, out)) == 4
        assert count.dbsize() == 0
        count.close()
    assert server.pid is None


def test_a_format_that_gives_other_bytes_is_refused(tmp_path, monkeypatch):
    readers = PLAIN.readers

    def read_wrongly(self, part):
        def read(number):
            arrays = [array.copy() for array in readers(self, part)["readv into"](number)]
            arrays[-1][-1] = np.nextafter(arrays[-1][-1], np.float32(2.0))
            return arrays

        return {"readv into": read}

    def move(folder):
        folder.mkdir()
        case = Case(folder, 0.1, 5, 1, ("memcpy", "plain"), 0)
        return move_models(Team(0, 1), case, 1, 3, 1.0)

    moved = move(tmp_path / "1")
    assert {one.names["method"] for one in moved} == {"memcpy", "plain"}
    assert {len(one.spans) for one in moved} == {3}  # they fit a second
    monkeypatch.setattr(PLAIN, "readers", read_wrongly)
    with pytest.raises(BenchmarkError, match=r"plain .*whole.* does not give back"):
        move(tmp_path / "2")
