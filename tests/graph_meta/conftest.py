import numpy as np
import pytest

from parsl_tl.spaces import get_space

SPACE = get_space("dense-skip", num_layers=5, units=(4, 12, 4), max_anchors=2)


def draw(count, seed):
    rng = np.random.default_rng(seed)
    choices = SPACE.choices()
    return [
        SPACE.build([int(rng.integers(len(c.values))) for c in choices], (10,), (1,))
        for _ in range(count)
    ]


@pytest.fixture(scope="session")
def graphs():
    """Three hundred models of a small space, so that many prefixes are shared."""
    return draw(300, 0)


@pytest.fixture(scope="session")
def asked():
    """Models to ask for."""
    return draw(60, 1)


@pytest.fixture(scope="session")
def model_files(graphs, tmp_path_factory):
    """The models in three files, as a generator on three ranks leaves them."""
    folder = tmp_path_factory.mktemp("population")
    paths = []
    for part in range(3):
        paths.append(folder / f"models_{part}.json")
        lines = [graph.to_json() + "\n" for graph in graphs[part * 100 : part * 100 + 100]]
        paths[-1].write_text("".join(lines))
    return paths
