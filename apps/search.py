"""A search as a script: copy it, and change what is yours.

python apps/search.py --out runs/mine --max-evals 40
"""

from __future__ import annotations

import sys

from parsl_tl import Campaign, load_config, open_store
from parsl_tl.arguments import ArgumentParser, positive_int
from parsl_tl.exit_codes import run_program
from parsl_tl.search.progress import SearchProgress


def main() -> None:
    """Searches, and shows the best models with the ancestors they descend from."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/search", help="folder of the campaign")
    parser.add_argument("--max-evals", type=positive_int, default=40, help="evaluations in all")
    parser.add_argument("--config", default="local", help="executor configuration")
    parser.add_argument(
        "--store", default="embedded:", help="a folder, or the addresses of servers, of the models"
    )
    args = parser.parse_args()

    campaign = Campaign(
        problem="digits",  # or "package.module:MyProblem"
        space="dense-skip",  # or "package.module:MySpace"
        space_args={"num_layers": 4},
        config=load_config(args.config),
        store=args.store,
        out=args.out,
        population_size=10,
        sample_size=3,
        training={"epochs": 8},
    )
    progress = SearchProgress(args.max_evals)
    with progress:
        results = campaign.search(args.max_evals, progress=progress)

    if progress.store_failures:
        print("the search did not have its store all the time:", progress.store_failures)
    best = results.nlargest(3, "objective")
    print(best[["model_id", "objective", "layers_transferred", "seconds_train"]].to_string())
    with open_store(campaign.store_uri, read_only=True) as store:
        for model_id in best["model_id"]:
            ancestors = store.lineage(int(model_id, 16))
            print(model_id, "has", len(ancestors), "ancestors")


if __name__ == "__main__":
    sys.exit(run_program(main))
