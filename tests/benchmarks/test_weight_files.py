"""Formats of weights: every byte comes back, whole and layer by layer; damage is told."""

from pathlib import Path

import numpy as np
import pytest

from parsl_tl.benchmarks.core.networks import (
    Network,
    Networks,
    build_network,
    network_bytes,
)
from parsl_tl.benchmarks.core.room import (
    cached_share,
    drop_from_cache,
    file_system,
    files_under,
    is_in_memory,
    sync,
    total_bytes,
)
from parsl_tl.benchmarks.formats import FILE_FORMATS, format_of
from parsl_tl.benchmarks.formats.file_format import compare, layer_arrays, written_files
from parsl_tl.benchmarks.formats.weights_h5 import keras_file_keys
from parsl_tl.errors import BenchmarkError, InvalidValueError

SMALL = Network("candle", input_length=200, scale=0.05)


@pytest.fixture(scope="module")
def networks():
    """NT3; one with twins, batch statistics, several dtypes and a model inside."""
    keras = pytest.importorskip("keras")
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="x")], name="inner")
    inputs = keras.Input((3,))
    x = keras.layers.BatchNormalization()(inner(inputs))
    x = keras.layers.Dense(5, dtype="float64")(x)
    x = keras.layers.PReLU()(x)
    mixed = keras.Model(inputs, keras.layers.Dense(2, name="dense.S dots..")(x))
    return {"nt3": build_network(SMALL), "mixed": mixed}


@pytest.mark.parametrize("which", ["nt3", "mixed"])
@pytest.mark.parametrize("name", FILE_FORMATS)
def test_every_byte_comes_back(networks, tmp_path, name, which):
    model = networks[which]
    file_format, path = FILE_FORMATS[name], tmp_path / f"model{FILE_FORMATS[name].suffix}"
    expected, keys = layer_arrays(model), keras_file_keys(model)
    file_format.save(model, path)
    assert total_bytes(written_files(path)) > sum(
        array.nbytes for arrays in expected.values() for array in arrays
    )
    assert format_of(path) == name
    compare(expected, file_format.read(path, None, keys))
    for layers in ([], list(expected)[:1], list(expected)[1:3], list(expected)[::-1]):
        found = file_format.read(path, layers, keys)
        assert list(found) == layers
        compare({layer: expected[layer] for layer in layers}, found)
    with pytest.raises(BenchmarkError, match="no layer nowhere"):
        file_format.read(path, ["nowhere"], keys)
    for layer in model.layers:
        layer.set_weights([weight * 0 for weight in layer.get_weights()])
    compare(expected, layer_arrays(file_format.load(model, path)))
    model.set_weights([array for arrays in expected.values() for array in arrays])


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_a_truncated_file_is_refused(networks, tmp_path, name):
    path = tmp_path / f"model{FILE_FORMATS[name].suffix}"
    FILE_FORMATS[name].save(networks["nt3"], path)
    largest = max(written_files(path), key=lambda file: file.stat().st_size)
    with largest.open("r+b") as file:
        file.truncate(largest.stat().st_size // 2)
    with pytest.raises(Exception, match=r"."):
        FILE_FORMATS[name].read(path, None, {})


def test_differences_are_found():
    one = {"a": [np.zeros((2, 3), np.float32), np.ones(1)]}
    compare(one, {"a": [np.zeros((2, 3), np.float32), np.ones(1)]})
    for other, message in (
        ({}, "other layers"),
        ({"a": [np.zeros((3, 2), np.float32), np.ones(1)]}, "other shapes"),
        ({"a": [np.zeros((2, 3)), np.ones(1)]}, "other shapes or dtypes"),
        ({"a": [np.zeros((2, 3), np.float32), -np.ones(1)]}, "weight 1 of layer a"),
        ({"a": [-np.zeros((2, 3), np.float32), np.ones(1)]}, "weight 0 of layer a"),
    ):
        with pytest.raises(BenchmarkError, match=message):
            compare(one, other)


@pytest.mark.parametrize(
    "network", [SMALL, Network("nt3", 500, 0.1), Network("dense:0.5x3"), Network("resnet50")]
)
def test_sizes_are_known_before_a_network_is_built(network):
    pytest.importorskip("keras")
    model = build_network(network)
    true = sum(int(np.prod(weight.shape)) * 4 for weight in model.weights)
    assert network_bytes(network) == pytest.approx(true, rel=0.05)
    if "dense" not in network.name:
        assert network_bytes(network) == true


def test_the_nt3_network_is_that_of_candle():
    # The figures of the field: about 155 million parameters, 0.62 GB.
    assert network_bytes(Network("candle")) == 4 * 154_922_918
    keras = pytest.importorskip("keras")
    model = build_network(SMALL)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == [
        *("Conv1D", "MaxPooling1D", "Conv1D", "MaxPooling1D", "Flatten"),
        *("Dense", "Dropout", "Dense", "Dropout", "Dense"),
    ]
    again = build_network(SMALL)
    assert keras.ops.convert_to_numpy(model(np.ones((1, 200, 1)))).tobytes() == (
        keras.ops.convert_to_numpy(again(np.ones((1, 200, 1)))).tobytes()
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network("nt4"), "unknown model 'nt4'"),
        (Network("dense:"), "dense:100x16"),
        (Network("dense:-1x2"), "dense:100x16"),
        (Network("dense:1x0"), "dense:100x16"),
        (Network(scale=0.0), "scale=0.0"),
        (Network(input_length=37), "input_length=37"),
    ],
)
def test_networks_that_cannot_be(network, message):
    with pytest.raises(InvalidValueError, match=message):
        network_bytes(network)


def test_keras_files_that_cannot_be(tmp_path):
    pytest.importorskip("keras")
    (missing,) = Networks((str(tmp_path / "no.keras"),)).all
    assert (missing.label, network_bytes(missing)) == ("no.keras", 0)
    with pytest.raises(BenchmarkError, match=r"no\.keras is missing"):
        build_network(missing)
    (tmp_path / "no.keras").write_bytes(b"PK nothing")
    with pytest.raises(BenchmarkError, match=r"no whole \.keras file"):
        build_network(missing)


def test_what_is_in_the_page_cache(tmp_path):
    path = tmp_path / "sub" / "file"
    path.parent.mkdir()
    path.write_bytes(bytes(1 << 20))
    (tmp_path / "empty").touch()
    assert files_under(tmp_path) == [tmp_path / "empty", path]
    sync(tmp_path)
    sync(path)
    path.read_bytes()
    assert cached_share([path, tmp_path / "empty"]) > 0.9
    assert cached_share([tmp_path / "empty"]) == 0.0
    assert drop_from_cache([path]) == "posix_fadvise"
    # Whether they went is up to the file system.
    assert 0.0 <= cached_share([path]) <= 1.0
    assert path.read_bytes() == bytes(1 << 20)
    assert file_system(path) != "unknown"
    with pytest.raises(FileNotFoundError):
        drop_from_cache([tmp_path / "gone"])


def test_memory_is_told_from_disks():
    assert file_system(Path("/proc/self")) == "proc"
    assert not is_in_memory(Path("/proc"))
