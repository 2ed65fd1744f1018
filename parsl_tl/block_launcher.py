"""Launching a block so that nothing of it outlives its pool of workers."""

from __future__ import annotations

from parsl.launchers.base import Launcher

from parsl_tl.worker_pool import SHELL_VARIABLE

_SCRIPT = f"""\
export {SHELL_VARIABLE}=$$
set -m
{{command}} &
POOL=$!
trap 'kill -TERM -- -$POOL' TERM INT
wait $POOL
CODE=$?
kill -KILL -- -$POOL 2> /dev/null
exit $CODE
"""


class WholeBlockLauncher(Launcher):  # type: ignore[misc]
    """Starts the pool of a block on one node, and ends all its processes when it has ended.

    Workers of a pool that is killed go on with what they do, beside those of the next block; and
    the process that they share data through never ends.
    """

    def __init__(self, debug: bool = True) -> None:
        super().__init__(debug=debug)

    def __call__(
        self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = ""
    ) -> str:
        """Returns the script that runs a command; see Parsl's launchers."""
        return _SCRIPT.format(command=command)
