"""A registry knows what is built in and what packages add, and looks for these only if it must."""

from parsl_tl import registry
from parsl_tl.errors import ProblemError
from parsl_tl.registry import Registry


def test_what_is_known(tmp_path, monkeypatch):
    package = tmp_path / "more-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: more\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[things.of.ours]\nadded = json:loads\n")
    monkeypatch.syspath_prepend(tmp_path)
    things = Registry("thing", "things.of.ours", ProblemError, {"own": "json:dumps"})
    assert things.names() == ["added", "own"]
    assert "added" in things
    assert "other" not in things
    # Nothing is read from the disk for what is built in.
    monkeypatch.setattr(registry, "entry_points", None)
    assert "own" in things
    assert things.find("own").__name__ == "dumps"
