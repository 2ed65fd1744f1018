"""What a serving process holds: no library that only clients and trainers need."""

import re
from pathlib import Path

import pytest

from parsl_tl.benchmarks.core.servers import open_servers, serving

UNWANTED = re.compile(
    r"/(numpy|pandas|scipy|tensorflow|keras|parsl|sklearn|rich)/|libarrow_python|libparquet"
)


def libraries_of(pid):
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split(maxsplit=5)[5] for line in lines if "/" in line}


@pytest.mark.parametrize("has_clients", [False, True])
def test_a_server_loads_what_serving_takes(tmp_path, has_clients):
    with serving("grpc+tcp://127.0.0.1:0", tmp_path, 1) as servers:
        if has_clients:
            with open_servers(servers.uris) as store:
                assert len(store.models()) == 0
                store.fold()
        found = libraries_of(servers.pids[0])
    assert any("libarrow_flight.so" in path for path in found)
    assert sorted(path for path in found if UNWANTED.search(path)) == []
