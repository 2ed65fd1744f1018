"""Where the files of built-in problems are published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from parsl_tl.errors import ProblemError
from parsl_tl.problems.attn import ATTN_FILES
from parsl_tl.problems.idx_images import IDX_FILES
from parsl_tl.problems.khan import KHAN_FILES
from parsl_tl.problems.nt3 import NT3_FILES
from parsl_tl.suggestions import did_you_mean


class DataFile(NamedTuple):
    """One file of a data set.

    Attributes:
        name: of the file.
        digest: ``sha256:...`` or ``md5:...``, as published; empty if none is known.
        size: in bytes; 0 if it is not known.
        optional: whether the data set may lack it.
    """

    name: str
    digest: str = ""
    size: int = 0
    optional: bool = False


class DataSet(NamedTuple):
    """The files of a problem.

    Attributes:
        files: all of them.
        url: folder that they are published in; empty where they are not published one by one.
        note: what else is to be known, for people.
    """

    files: tuple[DataFile, ...]
    url: str
    note: str = ""


def _files(
    names: Sequence[str], kind: str, digests: Sequence[str], sizes: Sequence[int]
) -> tuple[DataFile, ...]:
    """Returns files with their digests, all of one kind, and sizes."""
    return tuple(
        DataFile(name, f"{kind}:{digest}", size)
        for name, digest, size in zip(names, digests, sizes, strict=True)
    )


_PACKED: Final = tuple(f"{name}.gz" for name in IDX_FILES)
_CANDLE: Final = "http://ftp.mcs.anl.gov/pub/candle/public/benchmarks/Pilot1"

DATA_SETS: Final[Mapping[str, DataSet]] = {
    "attn": DataSet(
        (DataFile(ATTN_FILES[1]),), f"{_CANDLE}/attn/", "about 4 GB; the address is unconfirmed"
    ),
    "cifar10": DataSet(
        (
            DataFile(
                "cifar-10-python.tar.gz",
                "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                170_498_071,
            ),
        ),
        "https://www.cs.toronto.edu/~kriz/",
    ),
    "combo": DataSet(
        (DataFile("training_combo.npy.gz"), DataFile("testing_combo.npy.gz", optional=True)),
        "",
        "published on request; name its place with --from",
    ),
    "fashion-mnist": DataSet(
        _files(
            _PACKED,
            "md5",
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            (26_421_880, 29_515, 4_422_102, 5_148),
        ),
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "also Debian's package dataset-fashion-mnist",
    ),
    "khan": DataSet(
        _files(
            KHAN_FILES,
            "sha256",
            (
                "12148ef490588eb8ac9de3edc89551962a0499bfe78f39726ad58d8d72fd8e90",
                "ac58f9c840e9e7c47bd17494cf0fe23e7fc9b5371e0d54c1a2a6038f45f637ab",
                "f620e7c092bebd62697c48d0eb586a94533aea9cc98b2ecb65a8c8c2bfe2d05d",
                "92fe0d43b0bb8351873102ca3651a39766c3708da37cf30042fa0fdc58ba01eb",
            ),
            (1_512_553, 130, 619_501, 44),
        ),
        "https://raw.githubusercontent.com/intro-stat-learning/ISLP/main/ISLP/data/",
        "also in the package ISLP",
    ),
    "mnist": DataSet(
        _files(
            _PACKED,
            "sha256",
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
            (9_912_422, 28_881, 1_648_877, 4_542),
        ),
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    "nt3": DataSet(
        tuple(DataFile(name) for name in NT3_FILES), f"{_CANDLE}/normal-tumor/", "about 750 MB"
    ),
    "uno": DataSet(
        (DataFile("training_uno.npy.gz"), DataFile("testing_uno.npy.gz", optional=True)),
        "",
        "published on request; name its place with --from",
    ),
}
"""By the problem's name."""


def find_data_set(name: str) -> DataSet:
    """Returns the files of a problem.

    Raises:
        ProblemError: there are none to fetch.
    """
    if name not in DATA_SETS:
        raise ProblemError(
            f"there is no data set {name!r} to fetch{did_you_mean(name, DATA_SETS)}; there are "
            f"{', '.join(DATA_SETS)}"
        )
    return DATA_SETS[name]
