"""Every machine's configuration, and the script of its blocks against one that was looked through.

After a change that is meant, `python tests/configs/test_machines.py` writes the scripts anew.
"""

import importlib.metadata
import inspect
import json
import os
import re
import sys
from pathlib import Path

import parsl
import pytest

from parsl_tl.configuration import config_machine, list_configs, load_config
from parsl_tl.errors import ConfigError
from parsl_tl.federation.worker_count import num_workers_of_executor
from parsl_tl.sites.script import block_script, driver_script

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
ADDRESS = "127.0.0.1"  # without one, Parsl asks a service on the web for it, among others
OTHERS = {"local", "local_mpi", "kubernetes", "globus"}
GENERIC = {"slurm", "pbs", "lsf", "flux"}
MACHINES = [config.name for config in list_configs() if config.name not in OTHERS | GENERIC]
# The first is without options; a file is called like its configuration and the word behind it.
CASES = {
    **{name: f"{name}?account=my-project" for name in MACHINES},
    "delta-shared": "delta?account=my-project&gpus_per_node=1&max_blocks=8",
    "frontier-inside": "frontier?inside_job=true&nodes_per_block=4",
    "perlmutter-cpu": "perlmutter?account=my-project&node=cpu&queue=regular&walltime=06:00:00",
    "polaris-inside": "polaris?inside_job=true&nodes_per_block=2",
    "polaris-mps": "polaris?account=my-project&queue=preemptable&workers_per_gpu=2&mps=true"
    "&drain_seconds=600&scheduler_options=%23PBS+-r+y&worker_init=echo+hello",
    "slurm": "slurm?cores_per_node=64&gpus_of_node=4&queue=gpu&asks_cores=true&memory_gb=200",
    "pbs": "pbs?cores_per_node=64&threads_per_core=2&gpus_of_node=2&nodes_per_block=2&mpi=mpirun",
    "lsf": "lsf?cores_per_node=64&gpus_of_node=6&account=my-project&nodes_per_block=2",
    "flux": "flux?cores_per_node=64&gpus_of_node=8&accelerator=rocm&nodes_per_block=3"
    "&inside_job=true",
}


@pytest.fixture(autouse=True)
def _no_choices_of_this_machine(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.delenv("KERAS_BACKEND")  # a configuration sets it, for this test alone
    for name in os.environ:
        if name.startswith("PARSL_TL_CONFIG_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PARSL_TL_CONFIG_ADDRESS", ADDRESS)


def script(case):
    (executor,) = load_config(CASES[case]).executors
    made = block_script(executor).replace(str(Path(sys.executable).parent), "/env/bin")
    return made.replace(f"-a {ADDRESS} ", "-a <address> ")


def is_pinned_parsl():
    """Whether Parsl is the release whose templates the scripts were made with."""
    pinned = re.search(r"^parsl==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    return importlib.metadata.version("parsl") == pinned[1]


@pytest.mark.parametrize("case", CASES)
def test_the_script_of_a_block(case):
    made = script(case)
    if is_pinned_parsl():  # another one's launchers differ
        assert made == (GOLDEN / f"{case}.sh").read_text()


def test_there_are_no_scripts_of_nothing():
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


def test_the_page_names_every_machine():
    page = (ROOT / "docs" / "guides" / "supercomputers.md").read_text()
    assert [name for name in (*MACHINES, *GENERIC, "kubernetes") if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine(name):
    machine = config_machine(name)
    assert machine.name == name
    config = load_config(name, account="my-project", nodes_per_block=3, max_blocks=2)
    (executor,) = config.executors
    assert isinstance(config, parsl.Config)
    assert config.strategy == "simple"
    assert executor.label == name
    assert executor.prefetch_capacity == 0
    for kind, node in machine.nodes.items():
        (of_kind,) = load_config(name, account="my-project", node=kind).executors
        workers = num_workers_of_executor(of_kind)
        assert workers == (node.workers or len(node.gpus) or node.cores)
        assert of_kind.available_accelerators == list(node.gpus)
        assert (node.accelerator is not None) == bool(node.gpus)
        if node.gpu_cores:
            assert len(node.gpu_cores) == len(node.gpus)
            assert len(of_kind.cpu_affinity.split(":")) == 1 + workers  # Parsl wants as many
    assert num_workers_of_executor(executor) == 6 * executor.max_workers_per_node


def test_what_is_missing_is_asked_for(monkeypatch):
    with pytest.raises(ConfigError, match=r"polaris charges a project.*-o account=NAME"):
        load_config("polaris")
    monkeypatch.setenv("PARSL_TL_CONFIG_ACCOUNT", "mine")
    assert "#PBS -A mine" in block_script(load_config("polaris").executors[0])
    given = load_config("polaris", account="other").executors[0]  # goes before the environment
    assert "#PBS -A other" in block_script(given)
    monkeypatch.delenv("PBS_NODEFILE", raising=False)
    for options, message in (
        ("inside_job=true", "in no job of polaris"),
        ("walltime=90", "HH:MM:SS"),
        ("node=cpu", "choose from gpu"),
        ("gpus_per_node=5", "has 4"),
        ("acount=x", "acount"),
        ("drain_seconds=3600", "walltime 01:00:00"),
        ("nodes_per_block=2&mps=true", "blocks of one"),
        ("account", "name=value"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(f"polaris?{options}")
    with pytest.raises(ConfigError, match="cores_per_node"):
        load_config("slurm")
    with pytest.raises(ConfigError, match="inside_job"):
        load_config("flux?cores_per_node=4")


@pytest.mark.parametrize(
    ("name", "variables", "nodes"),
    [
        ("perlmutter", {"SLURM_JOB_NUM_NODES": "5"}, 5),
        ("polaris", {"PBS_NODEFILE": "nodes"}, 2),
        ("lsf?cores_per_node=4", {"LSB_MCPU_HOSTS": "a 40 b 40 c 40"}, 3),
    ],
)
def test_a_job_says_how_many_nodes_it_has(name, variables, nodes, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("nodes").write_text("a\nb\na\n")
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    (executor,) = load_config(name, inside_job=True).executors
    assert executor.provider.nodes_per_block == nodes


def test_workers_share_gpus_and_the_cores_beside_them():
    (executor,) = load_config("polaris", account="x", workers_per_gpu=2, max_workers=3).executors
    assert executor.available_accelerators == ["0", "0", "1"]
    assert executor.cpu_affinity == "list:24-27,56-59:28-31,60-63:16-19,48-51"
    assert "export OMP_NUM_THREADS=10" in executor.provider.worker_init


def test_the_driver_uses_the_backend_of_the_machine(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    (executor,) = load_config("frontier", account="x").executors
    assert os.environ["KERAS_BACKEND"] == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # what the user chose holds
    (executor,) = load_config("frontier", account="x").executors
    assert "export KERAS_BACKEND=jax" in executor.provider.worker_init


def test_a_script_with_the_driver_inside():
    (executor,) = load_config("perlmutter?account=x&nodes_per_block=4").executors
    lines = driver_script(executor, ["echo", "parsl-tl search"]).splitlines()
    assert "#SBATCH --nodes=4" in lines
    assert "#SBATCH --account=x" in lines
    assert lines[-2:] == ["echo", "parsl-tl search"]
    with pytest.raises(ConfigError, match="submits no jobs"):
        driver_script(load_config("local").executors[0], ["true"])


def test_a_pod_of_kubernetes(tmp_path, monkeypatch):
    pytest.importorskip("kubernetes")
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    file = tmp_path / "kube.json"  # which is YAML, too
    file.write_text(
        json.dumps(
            {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
            | {"current-context": "c"}
        )
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    config = load_config("kubernetes?image=me/it&gpus=2&workers_per_gpu=2&max_workers=3&cpus=6")
    (executor,) = config.executors
    assert executor.available_accelerators == ["0", "0", "1"]
    assert not executor.encrypted
    assert executor.provider.extra_limits == {"nvidia.com/gpu": "2"}
    pod = block_script(executor)
    assert pod.startswith("# pod of image me/it\n")
    assert "export OMP_NUM_THREADS=2\n" in pod
    assert "parsl-tl-worker-pool" in pod
    with pytest.raises(ConfigError, match="give the image"):
        load_config("kubernetes")


def test_options_of_a_described_machine_are_told():
    from parsl_tl.configuration import config_options

    options = config_options("slurm?cores_per_node=8")
    assert options["cores_per_node"] == 8
    assert {"account", "gpus_of_node", "walltime"} <= options.keys()
    own = inspect.signature(config_machine("polaris").config).parameters
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in own.values())


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.iterdir():
        path.unlink()
    os.environ["PARSL_TL_CONFIG_ADDRESS"] = ADDRESS
    for name in CASES:
        os.environ.pop("KERAS_BACKEND", None)
        (GOLDEN / f"{name}.sh").write_text(script(name))
