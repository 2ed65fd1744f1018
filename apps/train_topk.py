"""Trains the best models of a search fully: from what they inherited, and from scratch.

    python apps/train_topk.py runs/mine --top 5 --epochs 50

What `parsl-tl retrain` does, as the few lines that one copies.
"""

from __future__ import annotations

import sys

from parsl_tl.arguments import ArgumentParser, positive_int
from parsl_tl.exit_codes import run_program
from parsl_tl.search.retraining import Retraining


def main() -> None:
    """Trains, and shows how soon either start reaches the same value."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("campaign", help="folder of the campaign")
    parser.add_argument("--top", type=positive_int, default=5, help="how many of the best")
    parser.add_argument("--epochs", type=positive_int, default=50, help="epochs at most")
    parser.add_argument("--config", default="local", help="executor configuration")
    args = parser.parse_args()

    training = Retraining(args.campaign, top=args.top, epochs=args.epochs)
    frame = training.run(args.config, done=lambda row: print(row["model_id"], row["start"], "done"))
    print(frame[["model_id", "start", "found", "objective", "seconds_train"]].to_string())
    print(training.speedups().to_string())


if __name__ == "__main__":
    sys.exit(run_program(main))
