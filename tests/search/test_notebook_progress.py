"""A search in a kernel of Jupyter shows its progress in one cell, which is drawn in its place."""

import subprocess
import sys

import pytest

from parsl_tl.search.notebook_progress import NotebookProgress

FAILED = {"error": "ValueError: column <age>\n has no values", "worker": "node7:42"}

SEARCH = """
from parsl_tl import Campaign
campaign = Campaign(
    "synthetic", "feed-forward", max_workers=1, out={out!r}, population_size=2, sample_size=1,
    problem_args={{"rows": 200}}, training={{"epochs": 1}},
)
frame = campaign.search(3)
"""


def test_it_says_what_is_best_and_what_failed():
    progress = NotebookProgress(4)
    progress._is_shown = True
    for objective in (0.25, 0.5, 0.125):
        progress.finished(objective, {}, describe=f"network <{objective}>".format)
    progress.finished("F_Value", FAILED)
    shown = progress._repr_html_()
    assert 'value="4" max="4"' in shown
    assert "network &lt;0.5&gt;" in shown
    assert "<tr><th>Value</th><td>1</td></tr>" in shown
    assert "failed on node7:42: Value: ValueError: column &lt;age&gt; has no values" in shown
    assert "<0.5>" not in shown


def test_nothing_of_a_notebook_is_imported_elsewhere():
    code = """
import sys
from parsl_tl.search.notebook_progress import NotebookProgress, progress_here
with progress_here(3) as shown:
    assert not isinstance(shown, NotebookProgress)
    shown.finished(0.5, {})
print([name for name in sys.modules if name.startswith(("IPython", "ipykernel"))])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.stdout, run.stderr, run.returncode) == ("[]\n", "", 0)


@pytest.mark.slow
def test_a_cell_is_drawn_again_in_its_place(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    drawn = []

    class Client(nbclient.NotebookClient):
        def process_message(self, message, *args):
            if message["msg_type"] in ("display_data", "update_display_data"):
                drawn.append((message["msg_type"], message["content"]))
            return super().process_message(message, *args)

    source = SEARCH.format(out=str(tmp_path / "run"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    Client(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[0].outputs
    (output,) = [one for one in outputs if one["output_type"] != "stream"]  # others may warn
    shown = output["data"]["text/html"]
    assert "3/3 done" in shown
    assert 'value="3" max="3"' in shown
    assert "best: " in shown
    kinds = [kind for kind, _ in drawn]
    assert kinds[0] == "display_data"
    assert set(kinds[1:]) == {"update_display_data"}
    assert len({content["transient"]["display_id"] for _, content in drawn}) == 1
