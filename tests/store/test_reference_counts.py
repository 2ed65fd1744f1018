"""Random puts, retirements and openings against a model in plain Python."""

import tempfile

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from parsl_tl import open_store
from parsl_tl.architecture import longest_common_prefix
from parsl_tl.spaces import get_space

SPACE = get_space("feed-forward", num_layers=4, units=(2, 3, 1), activations=["relu"])
ARCH = st.lists(st.integers(0, 2), min_size=4, max_size=4)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(f"embedded:{self.folder.name}/s")
        self.living = {}  # id -> (graph, {layer name: (owner, array)})
        self.next_id = 0

    def teardown(self):
        self.store.close()
        self.folder.cleanup()

    def _put(self, arch, donor):
        graph = SPACE.build(arch, (3,), (2,))
        dense = [name for name in graph.layer_names if name.startswith("Dense")]
        layers = {name: (self.next_id, np.full(5, self.next_id, "f4")) for name in dense}
        own = dict(layers)
        if donor is not None:
            donor_graph, donor_layers = self.living[donor]
            for name in longest_common_prefix(graph, donor_graph):
                if name in donor_layers:
                    layers[name] = donor_layers[name]
                    own.pop(name)
        weights = {name: [array] for name, (_, array) in own.items()}
        self.store.put(self.next_id, graph, weights, quality=0, donor=donor)
        self.living[self.next_id] = (graph, layers)
        self.next_id += 1

    @rule(arch=ARCH)
    def put(self, arch):
        self._put(arch, None)

    @precondition(lambda self: self.living)
    @rule(arch=ARCH, data=st.data())
    def put_child(self, arch, data):
        self._put(arch, data.draw(st.sampled_from(sorted(self.living))))

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def retire(self, data):
        model_id = data.draw(st.sampled_from(sorted(self.living)))
        before = self._bytes()
        del self.living[model_id]
        assert self.store.retire(model_id) == before - self._bytes()

    @rule()
    def open_again(self):
        self.store.close()
        self.store = open_store(f"embedded:{self.folder.name}/s")

    def _bytes(self):
        owned = {
            (owner, name): array.nbytes
            for _, layers in self.living.values()
            for name, (owner, array) in layers.items()
        }
        return sum(owned.values())

    @invariant()
    def the_store_agrees(self):
        assert self.store.stats()["bytes_live"] == self._bytes()
        assert sorted(self.store.models()["model_id"].to_pylist()) == sorted(self.living)
        for model_id, (_, layers) in self.living.items():
            read = self.store.read(model_id)
            assert set(read) == set(layers)
            owners = self.store.composition(model_id)
            for name, (owner, array) in layers.items():
                assert owners[name] == owner
                assert read[name][0].tobytes() == array.tobytes()
        report = self.store.verify()
        assert report.ok, report.problems


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
test_reference_counts = StoreMachine.TestCase
