"""Does transfer help on my problem? Searches with it and without, at equal processor seconds.

    python apps/study_transfer.py --problem digits --space dense-skip --out runs/study

What `parsl-tl study` does, as the few lines that one copies.
"""

from __future__ import annotations

import sys

from parsl_tl.arguments import ArgumentParser, positive_int
from parsl_tl.exit_codes import run_program
from parsl_tl.search.settings import DEFAULT_POLICY
from parsl_tl.study import Case, Study, StudySettings
from parsl_tl.study.report import sentences, write_report


def main() -> None:
    """Runs the study, or carries it on, and says what came out."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="digits", help="what is learned")
    parser.add_argument("--space", default="dense-skip", help="where it is searched")
    policies = ["freeze", DEFAULT_POLICY]
    parser.add_argument("--policies", nargs="+", default=policies, help="compared")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the searches")
    parser.add_argument("--max-evals", type=positive_int, default=48, help="of each search")
    parser.add_argument("--out", default="runs/study", help="folder of the study")
    parser.add_argument("--config", default="local", help="executor configuration")
    args = parser.parse_args()

    settings = StudySettings(
        cases=(Case(name=args.problem, problem=args.problem, space=args.space),),
        policies=tuple(args.policies),
        seeds=tuple(args.seeds),
        max_evals=args.max_evals,
    )
    study = Study(args.out, settings)
    study.run(args.config, told=lambda share, text: print(f"{share:.0%} {text}", flush=True))
    print(*sentences(study), *write_report(study), sep="\n")


if __name__ == "__main__":
    sys.exit(run_program(main))
