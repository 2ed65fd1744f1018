"""Long random histories with kills, against a model of the store in memory.

After every step the store holds exactly the models that were acknowledged, with exactly their
bytes, and as many references and living bytes as the model counts. Of a step that was cut off
either all happened or nothing.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from store_servers import running, uri_of

from parsl_tl.architecture import longest_common_prefix
from parsl_tl.errors import StoreError
from parsl_tl.spaces import get_space
from parsl_tl.store import open_store

pytestmark = pytest.mark.slow

SPACE = get_space("dense-skip", num_layers=3, units=(2, 7, 2), activations=["relu"])
SIZES = [len(choice.values) for choice in SPACE.choices()]


def graph_of(arch_seq):
    return SPACE.build(arch_seq, (3,), (2,))


def weights_of(graph, seed):
    """Kernel and bias of every dense layer, told apart by the seed."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, layer in zip(graph.layer_names, graph.layers, strict=True):
        if layer.class_name == "Dense":
            width, units = layer.build_config["input_shape"][-1], layer.config["units"]
            found[name] = [rng.normal(size=(width, units)), np.full(units, seed, "f4")]
    return found


@dataclass
class Model:
    arch_seq: list
    quality: float
    weights: dict
    owners: dict


@dataclass
class Step:
    """What is done to the store; ``model`` is what a put leaves there."""

    action: str
    model_id: int = 0
    model: Model | None = None
    own: dict = field(default_factory=dict)
    donor: int | None = None
    parent: int | None = None

    def run(self, store):
        if self.action == "put":
            graph = graph_of(self.model.arch_seq)
            given = {"donor": self.donor, "parent": self.parent, "quality": self.model.quality}
            store.put(self.model_id, graph, self.own, **given)
        elif self.action == "retire":
            store.retire(self.model_id)
        else:
            store.compact()


class History:
    """Draws steps, and knows what the store must hold after them."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.models = {}
        self.next_id = 1

    def draw(self):
        kind = self.random.random()
        if kind < 0.08:
            return Step("compact")
        if self.models and kind < 0.08 + 0.04 * len(self.models):
            return Step("retire", self.random.choice(sorted(self.models)))
        return self._put()

    def _put(self):
        model_id, self.next_id = self.next_id, self.next_id + self.random.randint(1, 2)
        quality = self.random.random()
        if not self.models or self.random.random() < 0.2:
            arch_seq = [self.random.randrange(size) for size in SIZES]
            weights = weights_of(graph_of(arch_seq), model_id)
            owners = dict.fromkeys(weights, model_id)
            return Step("put", model_id, Model(arch_seq, quality, weights, owners), weights)
        source = self.random.choice(sorted(self.models))
        arch_seq = list(self.models[source].arch_seq)
        place = self.random.randrange(len(SIZES))
        arch_seq[place] = self.random.randrange(SIZES[place])
        graph, donor = graph_of(arch_seq), self.models[source]
        weights = weights_of(graph, model_id)
        common = set(longest_common_prefix(graph, graph_of(donor.arch_seq)))
        own = {name: arrays for name, arrays in weights.items() if name not in common}
        # A layer that was trained further belongs to the child, though it is common.
        own |= {name: weights[name] for name in common & set(weights) if self.random.random() < 0.1}
        all_weights = {name: own.get(name, donor.weights.get(name)) for name in weights}
        owners = {name: model_id if name in own else donor.owners[name] for name in weights}
        model = Model(arch_seq, quality, all_weights, owners)
        names = self.random.choice([("donor",), ("parent",), ("donor", "parent")])
        return Step("put", model_id, model, own, **dict.fromkeys(names, source))

    def happened(self, step):
        if step.action == "put":
            self.models[step.model_id] = step.model
        elif step.action == "retire":
            del self.models[step.model_id]

    def settle(self, step, store):
        """Finds out what became of a step whose end nobody saw."""
        is_there = step.model_id in store
        if step.action == "put" and is_there:
            self.happened(step)
        if step.action == "retire" and not is_there:
            self.happened(step)

    def check(self, store):
        table = store.models()
        assert sorted(table["model_id"].to_pylist()) == sorted(self.models)
        references, num_bytes = Counter(), {}
        for model_id, model in self.models.items():
            owners = {n: o for n, o in store.composition(model_id).items() if n in model.owners}
            assert owners == model.owners
            for name, owner in owners.items():
                references[owner, name] += 1
                num_bytes[owner, name] = sum(array.nbytes for array in model.weights[name])
        for (owner, name), count in references.items():
            assert store.reference_count(owner, name) == count, (owner, name)
        assert store.stats()["bytes_live"] == sum(num_bytes.values())
        for model_id in self.random.sample(sorted(self.models), min(4, len(self.models))):
            self.check_weights(store, model_id)

    def check_weights(self, store, model_id):
        found = store.read(model_id)
        expected = self.models[model_id].weights
        assert {n: [a.tobytes() for a in own] for n, own in found.items()} == {
            n: [a.tobytes() for a in own] for n, own in expected.items()
        }

    def check_all(self, store):
        self.check(store)
        for model_id in self.models:
            self.check_weights(store, model_id)
        report = store.verify()
        assert report.ok, report.problems


def run_and_be_killed(uri, step, seconds):
    """Runs a step in a process of its own that is killed after a while; whether it was done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            with open_store(uri) as store:
                step.run(store)
            os.write(writing, b"done")
            code = 0
        os._exit(code)
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read() == b"done"


@pytest.mark.parametrize("seed", range(2))
def test_embedded_with_writers_that_are_killed(tmp_path, seed):
    uri = f"embedded:{tmp_path / 'store'}"
    history = History(seed)
    cut_off = 0
    for _ in range(300):
        step = history.draw()
        if history.random.random() < 0.3:
            # From before the store is open to after the step is done, on machines of any speed.
            done = run_and_be_killed(uri, step, 10 ** history.random.uniform(-3.5, -1.5))
            with open_store(uri) as store:
                if done:
                    history.happened(step)
                else:
                    cut_off += 1
                    history.settle(step, store)
                history.check(store)
        else:
            with open_store(uri) as store:
                step.run(store)
                history.happened(step)
                history.check(store)
    with open_store(uri) as store:
        history.check_all(store)
    assert cut_off > 10
    assert len(history.models) > 5


@pytest.mark.parametrize("count", [2, 3])
def test_servers_that_are_killed_and_come_back(tmp_path, count):
    history = History(count)
    kills = 0
    with running(tmp_path, "flight", count) as servers, open_store(uri_of(servers)) as store:
        for _ in range(100):
            step = history.draw()
            if history.random.random() < 0.25:
                kills += 1
                server = history.random.choice(servers)
                failed = []

                def run(step=step, failed=failed):
                    try:
                        step.run(store)
                    except StoreError as error:
                        failed.append(error)

                thread = threading.Thread(target=run)
                thread.start()
                time.sleep(history.random.uniform(0, 0.02))
                server.kill()
                server.start()
                thread.join()
                if failed:
                    history.settle(step, store)
                    store.compact()  # takes back what the attempt had taken hold of
                else:
                    history.happened(step)
            else:
                step.run(store)
                history.happened(step)
            history.check(store)
        history.check_all(store)
    assert kills > 10
    assert len(history.models) > 5
