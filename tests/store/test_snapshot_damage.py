"""Snapshots that are damaged, cut off or of another store are passed over, and made anew."""

import shutil
import struct
import warnings

import pytest
import store_population as population
from store_population import check_answers

from parsl_tl import open_store

HEADER, ENTRY, SECTIONS, TERM_BYTES = 152, 24, 35, 30
HEADER_BYTES = [0, 9, 17, 25, 33, 100, 120, 127]


def sections(data):
    return [struct.unpack_from("<QQQ", data, HEADER + i * ENTRY) for i in range(SECTIONS)]


def check_folding(store, folder, living):
    """The store answers as before, and its next snapshot is whole."""
    check_answers(store, living)
    population.put_population(store, [5000])
    store.fold()
    store.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = open_store(f"embedded:{folder}")
    with again:
        assert again.stats()["changes_since_snapshot"] == 0
        check_answers(again, [*living, 5000])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("place", [*HEADER_BYTES, HEADER + 1, HEADER + 9, HEADER + 17])
def test_a_damaged_head_is_passed_over(folded, place):
    folder, living = folded
    data = bytearray((folder / "snapshot").read_bytes())
    data[place] ^= 0x10
    (folder / "snapshot").write_bytes(data)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        store = open_store(f"embedded:{folder}")
    with store:
        # One byte names another log: such a snapshot is none of ours, and no damage.
        assert bool(told) == (place not in range(8, 16))
        check_folding(store, folder, living)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "section",
    range(SECTIONS),
)
def test_a_damaged_section_is_passed_over(folded, section):
    folder, living = folded
    data = bytearray((folder / "snapshot").read_bytes())
    offset, size, _ = sections(data)[section]
    assert size > 0
    data[offset + size // 2] ^= 0x40
    (folder / "snapshot").write_bytes(data)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        store = open_store(f"embedded:{folder}")
    with store:
        check_folding(store, folder, living)


def test_damage_is_told(folded):
    folder, _ = folded
    data = bytearray((folder / "snapshot").read_bytes())
    data[sections(data)[0][0]] ^= 1
    (folder / "snapshot").write_bytes(data)
    with pytest.warns(RuntimeWarning, match="snapshot has a damaged section.*passed over"):
        open_store(f"embedded:{folder}").close()


def test_damage_does_not_get_a_new_checksum(folded, tools):
    folder, _ = folded
    graph = tools.graph(1, 2)
    with open_store(f"embedded:{folder}", read_only=True) as store:
        expected = store.find_donors([graph], by="bytes").scores.tolist()
    data = bytearray((folder / "snapshot").read_bytes())
    offset, size, _ = sections(data)[TERM_BYTES]
    data[offset : offset + size] = bytes(255 - byte for byte in data[offset : offset + size])
    (folder / "snapshot").write_bytes(data)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        with open_store(f"embedded:{folder}") as store:
            store.put(2000, tools.graph(3, 3), {}, quality=0)
            store.fold()
        with open_store(f"embedded:{folder}") as store:
            assert store.find_donors([graph], by="bytes").scores.tolist() == expected


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("keep", [0, 1, HEADER - 1, HEADER, HEADER + ENTRY * SECTIONS, -1])
def test_a_truncated_snapshot_is_passed_over(folded, keep):
    folder, living = folded
    data = (folder / "snapshot").read_bytes()
    (folder / "snapshot").write_bytes(data[:keep])
    with pytest.warns(RuntimeWarning, match="passed over"):
        store = open_store(f"embedded:{folder}")
    with store:
        check_answers(store, living)


def test_a_foreign_snapshot_is_none(folded, tmp_path):
    folder, living = folded
    with open_store(f"embedded:{tmp_path / 'other'}") as other:
        population.put_population(other, range(7000, 7100))
        other.fold()
    shutil.copy(tmp_path / "other" / "snapshot", folder / "snapshot")
    with open_store(f"embedded:{folder}") as store:
        check_answers(store, living)
    (folder / "snapshot").write_bytes(b"not a snapshot" * 1000)
    with pytest.warns(RuntimeWarning, match="is no snapshot"):
        open_store(f"embedded:{folder}").close()
