"""The smallest search there is: a check that everything works.

python apps/testing.py --out runs/testing
"""

from __future__ import annotations

import sys

from parsl_tl import Campaign
from parsl_tl.arguments import ArgumentParser
from parsl_tl.exit_codes import run_program


def main() -> None:
    """Searches ten architectures for handwritten digits."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/testing", help="folder of the campaign")
    parser.add_argument("--config", default="local", help="executor configuration")
    args = parser.parse_args()
    campaign = Campaign(
        "digits", "dense-skip", args.config, out=args.out, population_size=4, sample_size=2
    )
    results = campaign.search(10)
    print(results[["model_id", "parent", "objective", "layers_transferred"]].to_string())
    print(campaign.summary())


if __name__ == "__main__":
    sys.exit(run_program(main))
