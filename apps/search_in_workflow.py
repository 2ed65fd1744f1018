"""A Parsl workflow that simulates, with a surrogate found by architecture search added to it.

What was added stands between the two marks; the rest is a workflow as one has it.

python apps/search_in_workflow.py --out runs/workflow --max-evals 12
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import parsl

from parsl_tl.arguments import ArgumentParser, positive_int
from parsl_tl.exit_codes import run_program


@parsl.python_app
def simulate(seed: int) -> tuple[list[float], float]:
    """Gives some parameters, and what an expensive simulation makes of them."""
    import numpy as np

    parameters = np.random.default_rng(seed).uniform(-1.0, 1.0, 4)
    return parameters.tolist(), float(np.sin(3.0 * parameters[0]) + parameters[1] * parameters[2])


# --- added: a search for a network that stands in for the simulation, on the workflow's own workers
def find_surrogate(inputs: np.ndarray, outputs: np.ndarray, out: Path, max_evals: int) -> None:
    """Searches, with transfer of weights between candidates, and exports the best network."""
    from parsl_tl import Campaign, open_store
    from parsl_tl.store import export_keras

    out.mkdir(parents=True)
    np.savez(out / "simulated.npz", x_train=inputs, y_train=outputs)
    campaign = Campaign(
        problem="npz",
        problem_args={"file": str(out / "simulated.npz"), "task": "regression"},
        space="dense-skip",
        space_args={"num_layers": 2},
        out=out / "search",
        kernel=parsl.dfk(),
        population_size=4,
        sample_size=2,
        training={"epochs": 4},
    )
    results = campaign.search(max_evals)
    best = results.loc[results["objective"].idxmax()]
    with open_store(campaign.store_uri, read_only=True) as store:
        export_keras(store, int(best["model_id"], 16), out / "surrogate.keras")
    print(f"{best['objective']:.3f} with {best['layers_transferred']} layers from a donor")


# --- until here, and one line below


def main() -> None:
    """Simulates, and finds a network that does the same."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/workflow"), help="folder")
    parser.add_argument("--config", default="local", help="executor configuration")
    parser.add_argument("--max-evals", type=positive_int, default=12, help="networks to try")
    args = parser.parse_args()

    from parsl_tl import load_config

    with parsl.load(load_config(args.config)):
        simulated = [future.result() for future in [simulate(seed) for seed in range(400)]]
        inputs, outputs = (np.array(values, np.float32) for values in zip(*simulated, strict=True))
        find_surrogate(inputs, outputs[:, None], args.out, args.max_evals)  # added


if __name__ == "__main__":
    sys.exit(run_program(main))
