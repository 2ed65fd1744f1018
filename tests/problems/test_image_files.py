"""Images in folders, IDX files and CIFAR's batches, written by the tests in the same formats."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from problem_checks import check_parts, train_one_batch

from parsl_tl.errors import ProblemError
from parsl_tl.problems import Digits, get_problem
from parsl_tl.problems.cifar10 import Cifar10
from parsl_tl.problems.idx_images import IDX_FILES, FashionMnist, Mnist
from parsl_tl.problems.image_folder import ImageFolder

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARSL_TL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def write_images(folder: Path, count: int, level: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = RANDOM.integers(level, level + 60, (9, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


class TestImageFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, level in (("cat", 0), ("dog", 100), ("owl", 180)):
            write_images(tmp_path / "pets" / name, 10, level)
        (tmp_path / "pets" / "cat" / "notes.txt").write_text("no image")
        return tmp_path / "pets"

    def test_a_folder_a_class(self, folder: Path) -> None:
        problem = ImageFolder(folder=str(folder), size=[8, 6], test=0.2)
        assert problem.input_shape == (8, 6, 3)
        assert problem.classes == ["cat", "dog", "owl"]
        data = problem.load()
        assert [np.bincount(y).tolist() for y in (data.y_train, data.y_valid, data.y_test)] == [
            [6, 6, 6],
            [2, 2, 2],
            [2, 2, 2],
        ]
        check_parts(data, test=True)
        for number, level in enumerate((0, 100, 180)):
            found = data.x_train[data.y_train == number]
            assert level / 255 <= found.min() <= found.max() <= (level + 60) / 255
        train_one_batch(problem)
        table = problem.data_table()
        assert table is not None
        assert table.to_pydict() == {
            "class": ["cat", "dog", "owl"],
            **{"train": [6, 6, 6], "valid": [2, 2, 2], "test": [2, 2, 2]},
        }

    def test_folders_of_parts_and_grey(self, tmp_path: Path) -> None:
        for part, count in (("train", 6), ("val", 2), ("test", 3)):
            write_images(tmp_path / "parts" / part / "a", count, 0)
            write_images(tmp_path / "parts" / part / "b", count, 150)
        problem = ImageFolder(folder=str(tmp_path / "parts"), size=5, color="grayscale")
        data = problem.load()
        assert data.x_train.shape == (12, 5, 5, 1)
        assert (len(data.x_valid), len(data.x_test)) == (4, 6)

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ({"color": "blue"}, "color is 'blue'; it must be one of rgb"),
            ({"size": [1, 2, 3]}, "give one number, or height and width"),
            ({"size": 0}, "size is 0"),
            ({"folder": "nowhere"}, "there is no folder"),
        ],
    )
    def test_arguments(self, arguments: dict[str, Any], match: str, folder: Path) -> None:
        with pytest.raises(ProblemError, match=match):
            ImageFolder(**{"folder": str(folder), **arguments})

    def test_one_class_and_a_damaged_image(self, folder: Path) -> None:
        with pytest.raises(ProblemError, match=r"cat has 0 folders with images; it needs one"):
            ImageFolder(folder=str(folder / "cat")).output_shape  # noqa: B018
        (folder / "dog" / "3.png").write_bytes(b"\x89PNG and nothing more")
        with pytest.raises(ProblemError, match=r"image .*dog/3.png cannot be read"):
            ImageFolder(folder=str(folder)).load()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, *, packed: bool) -> list[np.ndarray]:
    folder.mkdir(parents=True)
    arrays = []
    for name, rows in zip(IDX_FILES, (60, 60, 20, 20), strict=True):
        labels = (np.arange(rows) % 10).astype(np.uint8)
        images = RANDOM.integers(0, 256, (rows, 28, 28)).astype(np.uint8)
        arrays.append(images if "images" in name else labels)
        content = idx(arrays[-1])
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return arrays


class TestIdx:
    @pytest.mark.parametrize("packed", [True, False])
    def test_images_of_the_data_folder(self, data: Path, packed: bool) -> None:
        images, labels, test_images, test_labels = write_idx(data / "mnist", packed=packed)
        problem = Mnist()
        assert (problem.input_shape, problem.output_shape) == ((28, 28, 1), (10,))
        loaded = problem.load()
        assert (len(loaded.x_train), len(loaded.x_valid)) == (50, 10)
        np.testing.assert_array_equal(loaded.y_test, test_labels)
        np.testing.assert_allclose(loaded.x_test[..., 0] * 255, test_images, atol=1e-3)
        assert np.bincount(loaded.y_valid).tolist() == [1] * 10
        scaled = [(image / np.float32(255)).tobytes() for image in images]
        known = dict(zip(scaled, labels, strict=True))
        for row, label in zip(loaded.x_train, loaded.y_train, strict=True):
            assert known[row.tobytes()] == label
        train_one_batch(problem)

    def test_flat_and_by_folder(self, tmp_path: Path) -> None:
        write_idx(tmp_path / "here", packed=True)
        problem = FashionMnist(folder=str(tmp_path / "here"), flat=True)
        assert problem.load().x_valid.shape == (10, 784)

    def test_a_missing_file_tells_where_was_looked_and_what_to_do(self, data: Path) -> None:
        write_idx(data / "mnist", packed=True)
        (data / "mnist" / f"{IDX_FILES[2]}.gz").unlink()
        with pytest.raises(
            ProblemError, match=r"data/mnist \(without t10k-images.*parsl-tl data fetch mnist"
        ):
            Mnist().load()

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (b"\x1f\x8b damaged", "cannot be read"),
            (gzip.compress(b"no idx"), "is no IDX file of bytes; it begins with 6e 6f"),
            (gzip.compress(b"\0\0\x08\x03\0"), "ends within its header"),
            (gzip.compress(idx(np.zeros((3, 28, 28), np.uint8))[:-5]), "its header says 2352"),
            (gzip.compress(idx(np.zeros((3, 8, 8), np.uint8))), "images of 28 x 28"),
        ],
        ids=["not packed", "no idx", "cut header", "cut rows", "other size"],  # packed with a time
    )
    def test_damaged_files(self, content: bytes, match: str, data: Path) -> None:
        write_idx(data / "mnist", packed=True)
        (data / "mnist" / f"{IDX_FILES[0]}.gz").write_bytes(content)
        with pytest.raises(ProblemError, match=match):
            Mnist().load()


@pytest.mark.slow
@pytest.mark.skipif(
    not Path(FashionMnist.system_folders[0]).is_dir(), reason="dataset-fashion-mnist is missing"
)
def test_the_real_fashion_mnist(data: Path) -> None:
    loaded = FashionMnist().load()
    assert loaded.x_train.shape == (50_000, 28, 28, 1)
    assert np.bincount(loaded.y_train).tolist() == [5000] * 10
    assert isinstance(loaded.x_train, np.memmap)
    assert data in Path(loaded.x_train.filename).parents  # nothing is written to the system's


def cifar_batches() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return {
        name: (
            RANDOM.integers(0, 256, (20, 3072)).astype(np.uint8),
            (np.arange(20) % 10).astype(np.uint8),
        )
        for name in names
    }


class TestCifar10:
    @pytest.mark.parametrize("form", ["python", "binary", "python.tar.gz", "binary.tar.gz"])
    def test_all_published_forms(self, form: str, data: Path) -> None:
        batches = cifar_batches()
        python = form.startswith("python")
        top = "cifar-10-batches-py" if python else "cifar-10-batches-bin"
        folder = data / "cifar10"
        (folder / top).mkdir(parents=True)
        for name, (pixels, labels) in batches.items():
            if python:  # as Python 2 has written it
                content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"of 5"}
                (folder / top / name).write_bytes(pickle.dumps(content, protocol=2))
            else:
                rows = np.concatenate([labels[:, None], pixels], axis=1)
                (folder / top / f"{name}.bin").write_bytes(rows.tobytes())
        if form.endswith(".tar.gz"):
            with tarfile.open(folder / f"cifar-10-{form}", "w:gz") as archive:
                archive.add(folder / top, top)
            for path in (folder / top).iterdir():
                path.unlink()
        problem = get_problem("cifar10", folder=str(folder))
        loaded = problem.load()
        assert loaded.x_train.shape == (83, 32, 32, 3)
        pixels, labels = batches["test_batch"]
        np.testing.assert_array_equal(loaded.y_test, labels)
        np.testing.assert_allclose(
            loaded.x_test[3, 5, 7] * 255, pixels[3].reshape(3, 32, 32)[:, 5, 7], atol=1e-3
        )
        train_one_batch(problem)

    def test_a_pickle_that_would_run_code_does_not(self, data: Path, tmp_path: Path) -> None:
        folder = data / "cifar10"
        folder.mkdir(parents=True)

        class Evil:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "touched",))

        for name in cifar_batches():
            (folder / name).write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))
        with pytest.raises(ProblemError, match=r"data_batch_1 cannot be read: it names pathlib"):
            Cifar10().load()
        assert not (tmp_path / "touched").exists()

    def test_nothing_there(self, data: Path) -> None:
        with pytest.raises(ProblemError, match=r"parsl-tl data fetch cifar10"):
            Cifar10().load()
        (data / "cifar10").mkdir(parents=True)
        (data / "cifar10" / "cifar-10-python.tar.gz").write_bytes(b"no archive")
        with pytest.raises(ProblemError, match=r"cifar-10-python.tar.gz cannot be read"):
            Cifar10().load()
        buffer = io.BytesIO()
        tarfile.open(fileobj=buffer, mode="w:gz").close()
        (data / "cifar10" / "cifar-10-python.tar.gz").write_bytes(buffer.getvalue())
        with pytest.raises(ProblemError, match="has 0 of the batches"):
            Cifar10().load()


def test_digits_as_images_with_a_test_part() -> None:
    loaded = Digits(test=0.1, flat=False).load()
    assert loaded.x_train.shape[1:] == (8, 8, 1)
    assert len(loaded.x_test) == 180
    assert len(loaded.x_train) + len(loaded.x_valid) + len(loaded.x_test) == 1797
