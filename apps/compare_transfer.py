"""Is transfer worth it? The same searches with and without it, side by side.

    python apps/compare_transfer.py --out runs/compare
    python apps/compare_transfer.py --out runs/methods --methods store hdf5 safetensors --seeds 0

For every seed, one campaign for each transfer method: ``from-scratch`` transfers nothing and stores
every model, ``none`` does not even store them, the others let children take over the longest prefix
that is kept; everything else is equal. The figures go to ``comparison.csv`` and ``comparison.md``,
the best objective over evaluations to ``comparison.png``. Campaigns that are complete are not run
again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from parsl_tl import Campaign
from parsl_tl.arguments import ArgumentParser, positive_int
from parsl_tl.exit_codes import run_program
from parsl_tl.reporting.plots import save_figure
from parsl_tl.search.progress import SearchProgress

FROM_SCRATCH = "from-scratch"


def run_campaign(args: argparse.Namespace, method: str, seed: int) -> pd.DataFrame:
    """Runs one campaign, or carries it on, and returns its results."""
    out = args.out / f"{method}-seed{seed}"
    if (out / "config.json").exists():
        campaign = Campaign.resume(out, args.config, max_workers=args.workers)
    else:
        campaign = Campaign(
            problem=args.problem,
            space=args.space,
            config=args.config,
            out=out,
            max_workers=args.workers,
            transfer="store" if method == FROM_SCRATCH else method,
            from_scratch=method == FROM_SCRATCH,
            seed=seed,
            population_size=args.population_size,
            sample_size=args.sample_size,
            # What is frozen for good is stored once.
            training={"inherit": "freeze", **({"epochs": args.epochs} if args.epochs else {})},
        )
    print(f"transfer {method}, seed {seed}:")
    progress = SearchProgress(args.max_evals)
    with progress:
        return campaign.search(args.max_evals, progress=progress)


def figures(results: pd.DataFrame, population_size: int) -> dict[str, Any]:
    """Returns the figures of one campaign.

    Children are what transfer is for, so training seconds are theirs: evaluations after the random
    candidates that fill the population.
    """
    good = results[results["objective"].notna()]
    children = good[good["parent"].notna()]
    best = results["objective"].cummax().ffill()
    count = len(results)
    return {
        "evaluations": count,
        "failed": count - len(good),
        "stored_mb": good["bytes_stored"].sum() / 1e6,
        "train_seconds": children["seconds_train"].mean(),
        "transfer_seconds": children["seconds_transfer"].mean(),
        "store_seconds": good["seconds_store"].mean(),
        "trainable_share": (
            children["parameters_trainable"].sum() / children["parameters_total"].sum()
        ),
        "layers_transferred_share": (
            children["layers_transferred"].sum() / children["layers_total"].sum()
        ),
        "best_at_population": best.iloc[min(population_size, count) - 1],
        "best_at_half": best.iloc[count // 2 - 1],
        "best": best.iloc[-1],
    }


def plot(curves: dict[tuple[str, int], pd.Series], path: Path) -> None:
    """Draws the best objective over evaluations, one line per campaign."""
    # Curves of one seed coincide until the first child; dashes leave what is below them visible.
    styles: dict[str, dict[str, Any]] = {FROM_SCRATCH: {"color": "black", "ls": "--", "zorder": 3}}
    for index, method in enumerate(dict.fromkeys(method for method, _ in curves)):
        styles.setdefault(method, {"color": f"C{index}", "linewidth": 3, "alpha": 0.6})

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for (method, seed), curve in curves.items():
            label = f"transfer {method}" if seed == min(s for _, s in curves) else None
            axes.step(range(1, len(curve) + 1), curve, where="post", label=label, **styles[method])
        axes.set_xlabel("evaluations")
        axes.set_ylabel("best objective so far")
        axes.grid(alpha=0.3)
        axes.legend()

    save_figure(path, (7.0, 4.0), draw)


def to_markdown(table: pd.DataFrame) -> str:
    """Returns a Markdown table with the mean of each method below its seeds."""
    columns = list(table.columns)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in table.itertuples(index=False):
        cells = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs all campaigns and writes the comparison."""
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--problem", default="digits")
    parser.add_argument("--space", default="dense-skip")
    parser.add_argument("--config", default="local")
    parser.add_argument("--workers", type=int)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[FROM_SCRATCH, "store"],
        help="from-scratch, none, store, hdf5, safetensors, ...",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-evals", type=positive_int, default=60)
    parser.add_argument("--population-size", type=int, default=20)
    parser.add_argument("--sample-size", type=int, default=5)
    parser.add_argument("--epochs", type=int)
    args = parser.parse_args()

    rows = []
    curves = {}
    for seed in args.seeds:
        for method in args.methods:
            results = run_campaign(args, method, seed)
            rows.append(
                {"transfer": method, "seed": seed, **figures(results, args.population_size)}
            )
            curves[method, seed] = results["objective"].cummax().ffill()
    table = pd.DataFrame(rows)
    means = table.groupby("transfer", as_index=False).mean(numeric_only=True)
    means["seed"] = "mean"
    table = pd.concat([table.sort_values(["transfer", "seed"]), means])[list(table.columns)]
    table.to_csv(args.out / "comparison.csv", index=False)
    (args.out / "comparison.md").write_text(to_markdown(table))
    plot(curves, args.out / "comparison.png")
    print(to_markdown(table))
    print(f"Written: {args.out}/comparison.csv, comparison.md, comparison.png")


if __name__ == "__main__":
    sys.exit(run_program(main))
