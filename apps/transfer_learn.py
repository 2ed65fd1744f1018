r"""The full transfer-learning search as a script to copy, with the options of the experiments.

python apps/transfer_learn.py --application digits --search-attempts 60
python apps/transfer_learn.py --application nt3 --problem-size small \
        --train-data-path data/nt_train2.csv --test-data-path data/nt_test2.csv --config polaris.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from parsl_tl import Campaign
from parsl_tl.arguments import ArgumentParser, positive_int
from parsl_tl.errors import InvalidValueError
from parsl_tl.exit_codes import run_program
from parsl_tl.search.progress import SearchProgress


class Application(NamedTuple):
    """A problem with the search space that was published with it.

    Attributes:
        problem: its name.
        space: the space's.
        space_args: further arguments of the space.
        has_sizes: whether the space takes ``size``, ``"small"`` or ``"large"``.
        data: the problem's argument that says where its data is, if it takes one.
    """

    problem: str
    space: str
    space_args: Mapping[str, Any] = MappingProxyType({})
    has_sizes: bool = False
    data: str = ""


SUBNETWORKS = {"subnetworks": True, "num_inputs": 3}
APPLICATIONS = {
    "digits": Application("digits", "dense-skip"),
    "synthetic": Application("synthetic", "dense-skip", {"num_layers": 10}),
    "nt3": Application("nt3", "nt3", has_sizes=True, data="folder"),
    "attn": Application("attn", "dense-skip", {"subnetworks": True}, has_sizes=True, data="file"),
    "combo": Application("combo", "dense-skip", SUBNETWORKS, has_sizes=True, data="folder"),
    "uno": Application("uno", "uno", data="folder"),
    "mnist": Application("mnist", "lenet", data="folder"),
    "fashion-mnist": Application("fashion-mnist", "lenet", data="folder"),
    "cifar10": Application("cifar10", "conv-cells", data="folder"),
}


def problem_args(application: Application, train: Path | None, test: Path | None) -> dict[str, str]:
    """Returns where the data is, as the problem takes it: one file, or the folder of its files."""
    given = [path for path in (train, test) if path is not None]
    if not given:
        return {}
    if not application.data:
        raise InvalidValueError(f"{application.problem} brings its own data; leave the paths out")
    if application.data == "file":
        return {"file": str(given[0])}
    folders = {path if path.is_dir() else path.parent for path in given}
    if len(folders) > 1:
        raise InvalidValueError(f"files of {application.problem} must lie in one folder: {folders}")
    return {"folder": str(folders.pop())}


def read_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--application", choices=sorted(APPLICATIONS), default="digits", help="what is learned")
    add("--problem-size", choices=("small", "large"), default="small", help="size of the space")
    add("--train-data-path", type=Path, help="file of the training data, or folder of all data")
    add("--test-data-path", type=Path, help="file of the data to judge by")
    add("--search-attempts", type=positive_int, default=60, help="evaluations in all")
    add("--num-epochs", type=positive_int, help="epochs of an evaluation")
    add("--population-size", type=positive_int, default=20, help="members of the population")
    add("--sample-size", type=positive_int, default=5, help="members of a tournament")
    add("--beta", type=float, help="mutate late layers more: weight of the last group of choices")
    add("--seed", type=int, default=0, help="of all randomness")
    add("--config", default="local", help="executor configuration")
    add("--store", default="embedded:", help="a folder, or the addresses of model servers")
    add("--out", default="runs/transfer_learn", help="folder of the campaign")
    return parser.parse_args()


def main() -> None:
    """Searches, and says what to do with the best models."""
    args = read_options()
    application = APPLICATIONS[args.application]
    sized = {"size": args.problem_size} if application.has_sizes else {}
    campaign = Campaign(
        application.problem,
        application.space,
        args.config,
        space_args={**application.space_args, **sized},
        problem_args=problem_args(application, args.train_data_path, args.test_data_path),
        store=args.store,
        out=args.out,
        population_size=args.population_size,
        sample_size=min(args.sample_size, args.population_size),
        beta=args.beta,
        seed=args.seed,
        training={"epochs": args.num_epochs} if args.num_epochs else {},
    )
    progress = SearchProgress(args.search_attempts)
    with progress:
        results = campaign.search(args.search_attempts, progress=progress)
    best = results.nlargest(5, "objective")
    print(best[["model_id", "objective", "layers_transferred", "architecture"]].to_string())
    print(f"Train them fully: python apps/train_topk.py {args.out}")


if __name__ == "__main__":
    sys.exit(run_program(main))
