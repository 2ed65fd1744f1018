"""The smallest search that is traced: a regression, and a timeline of who did what when.

python apps/tracing.py --out runs/tracing
"""

from __future__ import annotations

import sys

from parsl_tl import Campaign
from parsl_tl.arguments import ArgumentParser
from parsl_tl.exit_codes import run_program
from parsl_tl.report.trace import write_trace


def main() -> None:
    """Searches ten architectures for the sum of numbers, and writes the timeline."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/tracing", help="folder of the campaign")
    parser.add_argument("--config", default="local", help="executor configuration")
    args = parser.parse_args()
    campaign = Campaign(
        "synthetic",
        "feed-forward",
        args.config,
        out=args.out,
        trace=True,
        problem_args={"rows": 2000},
        population_size=4,
        sample_size=2,
    )
    campaign.search(10)
    report = write_trace([campaign.folder / "events"], campaign.folder / "run.perfetto-trace")
    print(f"{report.spans} spans, {report.arrows} transfers from donors")
    print(f"Open {report.path} at https://ui.perfetto.dev")


if __name__ == "__main__":
    sys.exit(run_program(main))
