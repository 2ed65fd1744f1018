"""The options of ``parsl-tl search``, and the campaign settings that they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from parsl_tl.arguments import (
    byte_argument,
    positive_float,
    positive_int,
    seconds_or_auto,
    share,
)
from parsl_tl.cli.config_options import add_config_options
from parsl_tl.cli.name_values import parse_choices, parse_pairs
from parsl_tl.cli.tracker_options import add_tracker_options
from parsl_tl.search.kept_figures import RANK_BY
from parsl_tl.store.model_id import parse_model_id

MAX_EVALS = 60

_TRAINING = (
    *("objective", "epochs", "batch_size", "learning_rate", "early_stopping_patience"),
    *("inherit", "unfreeze_after", "cut_prefix", "dtype_policy", "jit_compile", "batch_growth"),
)
_EXAMPLES = """\
examples:
  parsl-tl search --problem digits --space dense-skip --max-evals 60 --out runs/demo
  parsl-tl search --resume --out runs/demo --max-evals 120
  parsl-tl search --problem digits --space dense-skip --out runs/served \\
      --store "grpc+tcp://node1:4000 grpc+tcp://node2:4000"
  parsl-tl search --config polaris -o account=my-project --problem nt3 --space nt3 --out runs/nt3
  parsl-tl search --problem synthetic --problem-arg width=20 --space feed-forward \\
      --space-arg num_layers=6 --max-evals 100 --beta 2 --out runs/synthetic

exit codes:
  0    all evaluations are finished, and no more than --max-failed-share of them failed
  1    all are finished, and more failed, or every one
  2    an error: an option, the folder, the configuration or the store cannot be used
  3    workers, blocks, executors or the folder failed, and evaluations are left
  4    --max-seconds was over, and evaluations are left
  130  ended by Ctrl-C or SIGTERM
After 3, 4 and 130, --resume carries on: nothing is lost, and nothing evaluated twice.
"""


def add_search_options(subparsers: Any, run: Callable[[argparse.Namespace], int]) -> None:
    """Adds the command to the program's parser.

    Args:
        subparsers: of the program.
        run: runs the command.
    """
    parser = subparsers.add_parser(
        "search",
        help="search for architectures, with transfer learning",
        description="Search for architectures by regularized evolution. Every child takes over "
        "the weights of the stored model with which it shares the longest prefix of layers, "
        "trains the rest, and stores only what it trained.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is searched")
    what.add_argument(
        "--problem",
        help="digits, synthetic, ... (see `parsl-tl problems`), or your own: "
        "package.module:Class, file.py:Class",
    )
    what.add_argument(
        "--space", help="dense-skip, feed-forward, ... (see `parsl-tl spaces`), or your own"
    )
    add_pairs(what, "--problem-arg", "an argument of the problem")
    add_pairs(what, "--space-arg", "an argument of the space")
    what.add_argument(
        "--objective",
        metavar="METRIC",
        help="entry of the training history to maximize, such as val_auroc; to minimize it, "
        "--objective=-val_loss (default: the problem's)",
    )
    what.add_argument(
        "--minimize",
        action="append",
        metavar="FIGURE",
        help="keep this small beside the objective: parameters, bytes, layers, milliseconds to "
        "predict a batch, or an entry of the training history such as val_loss (with a leading -, "
        "--minimize=-val_auroc, keep it large); the results then tell the Pareto front; repeatable",
    )
    add_pairs(
        what,
        "--limit",
        "most parameters, bytes or layers of an architecture, such as parameters=100000, or "
        "milliseconds to predict a batch on this machine; what is over it is not trained",
    )
    add_pairs(
        what,
        "--choose",
        "a training option to be searched with the architecture, such as "
        "learning_rate=0.001,0.003,0.01 or optimizer=adam,rmsprop",
    )

    how = parser.add_argument_group("how")
    how.add_argument(
        "--max-evals",
        type=positive_int,
        help=f"evaluations in all (default {MAX_EVALS}; with --resume, as many as before)",
    )
    how.add_argument(
        "--max-seconds",
        type=seconds_or_auto,
        metavar="SECONDS",
        help="stop after this time; resume later. auto: two minutes before the end of the "
        "scheduler's job that this command runs in",
    )
    how.add_argument("--timeout", type=positive_float, help="seconds that one evaluation may take")
    how.add_argument(
        "--allow-repeats",
        action="store_true",
        default=None,
        help="evaluate an architecture again when it comes up again (default: look for a new one)",
    )
    how.add_argument(
        "--max-failed-share",
        type=share,
        help="share of failed evaluations up to which the exit code is 0 (default 0.5)",
    )
    how.add_argument(
        "--max-losses",
        type=positive_int,
        default=5,
        help="end the search when an evaluation was lost so often with its worker, block or "
        "executor while no other one ended (default 5)",
    )
    how.add_argument("--seed", type=int, help="of all randomness (default 0)")
    how.add_argument(
        "--population-size",
        type=positive_int,
        help="members of the population (default: a third of the evaluations, at most 50)",
    )
    how.add_argument(
        "--sample-size", type=positive_int, help="members of a tournament (default 5 at most)"
    )
    how.add_argument(
        "--beta",
        type=float,
        help="mutate late layers more: weight of the last group of choices beside the first "
        "(default: all choices alike)",
    )
    how.add_argument(
        "--rank-by",
        choices=RANK_BY,
        help="what tournaments compare: the architecture, which is the objective less what the "
        "training that was inherited is worth, as it is learned meanwhile (default), or the "
        "objective",
    )
    how.add_argument(
        "--transfer",
        metavar="METHOD",
        help="store: take over the longest prefix (default); hdf5, safetensors, redis or a method "
        "of yours: the same, with whole models kept that way; none: keep no models",
    )
    add_pairs(how, "--transfer-arg", "an argument of a transfer method that keeps no store")
    how.add_argument(
        "--from-scratch",
        action="store_true",
        default=None,
        help="transfer nothing, and store every model all the same: what transfer is compared with",
    )
    how.add_argument(
        "--donors",
        help="whose weights may be taken over: same (default) for models of the same data only, "
        "any, or fingerprints of further data (16 hex digits each, with commas between; "
        "`parsl-tl store ls` shows them)",
    )
    how.add_argument(
        "--min-quality",
        type=float,
        metavar="OBJECTIVE",
        help="models with a lower objective are no donors (default: all are)",
    )
    how.add_argument(
        "--quality-rate",
        type=float,
        metavar="LAYERS",
        help="layers of prefix that 1 of objective is worth when a donor is chosen: 20 takes one "
        "layer less from a model that is 0.05 better (default 0: the longest prefix)",
    )
    how.add_argument(
        "--random-transfer",
        action="store_true",
        default=None,
        help="let random candidates take over weights, too, such as those of an imported model",
    )
    how.add_argument("--keep-best", type=int, help="best models that stay in the store (default 5)")

    training = parser.add_argument_group("training of a candidate (default: the problem's)")
    training.add_argument("--epochs", type=positive_int, help="epochs at most")
    training.add_argument("--batch-size", type=positive_int, help="samples per step")
    training.add_argument("--learning-rate", type=positive_float, help="of the optimizer")
    training.add_argument(
        "--early-stopping-patience",
        "--patience",  # its name in earlier releases
        type=positive_int,
        metavar="EPOCHS",
        help="epochs without progress after which training stops",
    )
    training.add_argument(
        "--inherit",
        metavar="POLICY",
        help="what becomes of layers that come over: freeze, freeze:0.5 (at most half of all "
        "layers), thaw:2 (frozen for 2 epochs), thaw-down:1 (every epoch, the upper half of the "
        "frozen ones), slow:0.1 (a tenth of the learning rate), shrink:0.9 (all trained from the "
        "start, of each weight 0.9 is kept; the default), scratch (nothing comes over), or your "
        "own: package.module:Class, file.py:Class",
    )
    training.add_argument(
        "--unfreeze-after",
        type=positive_int,
        metavar="EPOCHS",
        help="the same as --inherit thaw:EPOCHS",
    )
    training.add_argument(
        "--cut-prefix",
        choices=("auto", "always", "off"),
        help="compute the outputs of frozen layers once, and train the others on them: where that "
        "saves time (auto, the default), where it fits in memory, or never",
    )
    add_hardware_options(training)
    add_pairs(
        training,
        "--train",
        "any of these by name, and optimizer, optimizer_args, clip_norm, schedule (cosine, "
        "reduce-on-plateau)",
    )

    where = parser.add_argument_group("where")
    where.add_argument("--out", required=True, help="the campaign's folder")
    where.add_argument("--resume", action="store_true", help="carry on the campaign in --out")
    add_config_options(where)
    where.add_argument(
        "--store",
        help="URI of the model store: embedded:/folder, or the connection strings of servers in "
        "quotes, their address files, or MODEL_SERVERS; cluster, or cluster:N, for servers on N of "
        "the search's own nodes (default: in the campaign's folder). With --resume: where the "
        "servers are now",
    )
    where.add_argument(
        "--no-data-check",
        action="store_true",
        help="do not load the data of a problem of your own before workers start",
    )
    where.add_argument(
        "--prefix-cache",
        type=byte_argument,
        metavar="SIZE",
        help="how much the workers of a node keep, in TMPDIR, of what leaves frozen layers, for "
        "other candidates with the same layers: 4GB, or off (default 2GB)",
    )
    where.add_argument(
        "--share-data",
        type=byte_argument,
        metavar="SIZE",
        help="prepare data sets of at least this size once on each node, in TMPDIR, where all its "
        "workers map them: 1GB, or off (default 64MB)",
    )
    where.add_argument(
        "--overlap-store",
        action="store_true",
        default=None,
        help="workers store a model while they go on with the next evaluation: a result may then "
        "be known before its model can be a donor, and a model that was on its way when the "
        "search was killed is lost",
    )
    where.add_argument(
        "--trace",
        action="store_true",
        help="record what driver, workers and stores do, in RUN/events, for `parsl-tl trace RUN` "
        "(needs the extra `trace`)",
    )
    add_tracker_options(parser, "as its evaluations end")
    parser.set_defaults(run=run)


def add_hardware_options(group: Any) -> None:
    """Adds what makes the most of a GPU; the names are those of ``TRAINING_KEYS``."""
    group.add_argument(
        "--dtype-policy",
        metavar="POLICY",
        help="dtype policy of Keras for all layers but the outputs, such as mixed_bfloat16",
    )
    group.add_argument(
        "--jit-compile",
        action="store_true",
        default=None,
        help="compile the steps of a training with XLA: pays off in long ones (default: with JAX)",
    )
    group.add_argument(
        "--batch-growth",
        metavar="FACTOR[:EPOCHS[:LARGEST]]",
        help="multiply the batch size by FACTOR every EPOCHS epochs (1), up to LARGEST rows (all), "
        "such as 2:3:1024: fewer and larger steps for long trainings on a GPU",
    )


def add_pairs(group: Any, option: str, what: str) -> None:
    """Adds an option ``NAME=VALUE`` that may be given several times."""
    group.add_argument(
        option, action="append", default=[], metavar="NAME=VALUE", help=f"{what}; repeatable"
    )


def search_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the campaign settings that were given; None where an option was left out."""
    training = {
        name: getattr(args, name) for name in _TRAINING if getattr(args, name) is not None
    } | parse_pairs(args.train)
    return {
        "problem": args.problem,
        "space": args.space,
        "store": args.store,
        "overlap_store": args.overlap_store,
        "prefix_cache": args.prefix_cache,
        "share_data": args.share_data,
        "transfer": args.transfer,
        "from_scratch": args.from_scratch,
        "transfer_args": parse_pairs(args.transfer_arg) or None,
        "seed": args.seed,
        "population_size": args.population_size,
        "sample_size": args.sample_size,
        "allow_repeats": args.allow_repeats,
        "beta": args.beta,
        "rank_by": args.rank_by,
        "keep_best": args.keep_best,
        "max_failed_share": args.max_failed_share,
        "donors": _donors(args.donors),
        "min_quality": args.min_quality,
        "quality_rate": args.quality_rate,
        "random_transfer": args.random_transfer,
        "hyperparameters": parse_choices(args.choose) or None,
        "limits": parse_pairs(args.limit) or None,
        "minimize": args.minimize,
        "problem_args": parse_pairs(args.problem_arg) or None,
        "space_args": parse_pairs(args.space_arg) or None,
        "training": training or None,
    }


def _donors(given: str | None) -> str | list[int] | None:
    if given in (None, "same", "any"):
        return given
    return [parse_model_id(part) for part in str(given).split(",")]
