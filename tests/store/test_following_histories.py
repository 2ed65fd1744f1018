"""Whatever happens to a leader, in whatever order: a copy of it is the leader, as of then."""

import shutil
import tempfile
from pathlib import Path

import pytest
from followed_stores import Site, catch_up, wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parsl_tl import open_store
from parsl_tl.store.copies import snapshot

STEP = st.one_of(
    st.tuples(st.just("put"), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.booleans()),
    st.tuples(st.just("retire"), st.integers(0, 20)),
    st.tuples(st.just("read"), st.integers(0, 20)),
    st.tuples(st.just("compact")),
    st.tuples(st.just("restart leader")),
    st.tuples(st.just("restart follower")),
    st.tuples(st.just("go back")),  # the leader's folder is put back from a copy
)


class History:
    def __init__(self, folder, tools):
        self.folder, self.tools = Path(folder), tools
        self.leader = Site(self.folder / "leader")
        self.follower = Site(self.folder / "follower", follow=[self.leader.uri])
        self.living, self.next_id = [], 1
        self.copies = self.trainings = 0

    def do(self, step):
        what, *arguments = step
        getattr(self, what.replace(" ", "_"))(*arguments)

    def put(self, arch, inherits):
        graph = self.tools.graph(*arch)
        donor = self.living[-1] if inherits and self.living else None
        self.trainings += 1
        weights = self.tools.weights(graph, float(self.trainings))
        if donor is not None:
            shared = set(self.leader.store.composition(donor))
            weights = {name: w for name, w in weights.items() if name not in shared}
        self.leader.store.put(self.next_id, graph, weights, quality=0.5, donor=donor)
        self.living.append(self.next_id)
        self.next_id += 1

    def pick(self, number):
        return self.living[number % len(self.living)] if self.living else None

    def retire(self, number):
        if self.living:
            self.leader.store.retire(self.living.pop(number % len(self.living)))

    def read(self, number):
        catch_up(self.leader, self.follower)
        if self.living:
            model_id = self.pick(number)
            expected = self.leader.store.read(model_id)
            assert self.tools.same(read_anew(self.follower, model_id), expected)

    def compact(self):
        self.leader.store.compact()

    def restart_leader(self):
        self.leader.stop()
        self.leader.start()

    def restart_follower(self):
        self.follower.stop()
        self.follower.start()

    def go_back(self):
        self.copies += 1
        copy = self.folder / f"copy{self.copies}"
        shutil.copytree(self.leader.folder, copy)
        living, next_id = list(self.living), self.next_id
        self.put([1, 1], False)
        self.read(len(self.living) - 1)  # its weights are at the follower, too
        self.retire(0)
        self.leader.stop()
        shutil.rmtree(self.leader.folder)
        copy.rename(self.leader.folder)
        self.living, self.next_id = living, next_id  # ids come again
        self.leader.start()

    def check(self):
        catch_up(self.leader, self.follower)
        [path] = self.follower.copies()
        leader = self.leader.store
        with open_store(f"embedded:{path.parent}", read_only=True) as copy:
            assert copy.models().equals(leader.models())
            for model_id in self.living:
                assert self.tools.same(read_anew(self.follower, model_id), leader.read(model_id))
                for name, owner in leader.composition(model_id).items():
                    assert copy.composition(model_id)[name] == owner
                    count = leader.reference_count(owner, name)
                    assert copy.reference_count(owner, name) == count
            for store in (leader, copy):
                report = store.verify()
                assert report.ok, report.problems
            used = {o for i in self.living for o in leader.composition(i).values()}
        files = path.parent / "segments"
        wait_for(
            lambda: {int(file.stem, 16) for file in files.iterdir()} <= used,
            "weights that nobody holds are gone",
        )

    def close(self):
        self.follower.stop()
        self.leader.stop()


def read_anew(follower, model_id):
    """What a new client of the follower reads: nothing that it may remember."""
    with open_store(follower.uri) as store:
        return {name: [a.copy() for a in arrays] for name, arrays in store.read(model_id).items()}


def run(steps, tools):
    with tempfile.TemporaryDirectory() as folder:
        history = History(folder, tools)
        try:
            for step in steps:
                history.do(step)
            history.check()
            copied = snapshot(f"embedded:{history.leader.folder}", Path(folder) / "snapshot")
            assert copied.models == len(history.living)
        finally:
            history.close()


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=6, deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(steps=st.lists(STEP, min_size=4, max_size=10))
def test_a_copy_is_the_leader_as_of_then(tools, steps):
    run(steps, tools)


@pytest.mark.full
@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(steps=st.lists(STEP, min_size=4, max_size=25))
def test_a_copy_is_the_leader_after_long_histories(tools, steps):
    run(steps, tools)
