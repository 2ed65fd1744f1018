#!/usr/bin/env python3
"""Commands of Slurm and PBS that run the scripts they are given on this machine, as jobs.

`install(folder)` makes sbatch, squeue, scancel, sacct, srun and qsub, qstat, qdel, mpiexec in a
folder, each a link to this file; that folder is their state, too. A job is a process that runs the
script with the scheduler's variables; at its walltime, and when it is cancelled, all of its
processes are killed, wherever they went. A job's walltime is over when `expire` says so.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

SLURM = ("sbatch", "squeue", "scancel", "sacct", "srun")
PBS = ("qsub", "qstat", "qdel", "mpiexec")
_MARK = "STAND_IN_JOB"


def install(folder: Path, names: tuple[str, ...]) -> Path:
    """Makes the commands; returns their folder."""
    folder.mkdir(parents=True)
    for name in names:
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} {folder} "$@"\n')
        command.chmod(0o755)
    return folder


def jobs(folder: Path) -> list[dict]:
    """Returns what is known of each job, in the order of their submission."""
    return [_read(folder, path.stem) for path in sorted(folder.glob("*.job"), key=_number)]


def expire(folder: Path, job: int) -> None:
    """Lets the walltime of a job be over."""
    (folder / f"{job}.over").touch()


def end_all(folder: Path) -> None:
    """Ends what is left of all jobs."""
    for job in jobs(folder):
        _kill(folder, job["id"])


def _number(path: Path) -> int:
    return int(path.stem)


def _read(folder: Path, job: str) -> dict:
    return json.loads((folder / f"{job}.job").read_text())


def _write(folder: Path, job: dict) -> None:
    new = folder / f"{job['id']}.new"
    new.write_text(json.dumps(job))
    new.rename(folder / f"{job['id']}.job")


def _submit(folder: Path, script: str, options: dict[str, str], variables: dict[str, str]) -> str:
    job = str(len(list(folder.glob("*.job"))) + 1)
    script = str(Path(script).absolute())
    options = {"output": f"{folder}/{job}.out", "error": f"{folder}/{job}.err", **options}
    _write(folder, {"id": job, "state": "PENDING", "script": script, "options": options})
    if "PBS_NODEFILE" in variables:
        variables["PBS_JOBID"] = f"{job}.stand-in"
    environment = {**variables, _MARK: f"{folder}:{job}"}
    with open("/dev/null", "r+b") as nothing:
        subprocess.Popen(
            [sys.executable, __file__, "run", str(folder), job],
            env=environment,
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            start_new_session=True,
        )
    return job


def _run(folder: Path, job_id: str) -> None:
    job = _read(folder, job_id)
    _write(folder, {**job, "state": "RUNNING", "began": time.time()})
    options = job["options"]
    with open(options["output"], "wb") as out, open(options["error"], "wb") as err:
        home = os.environ["HOME"] if "PBS_NODEFILE" in os.environ else None
        process = subprocess.Popen(["bash", job["script"]], cwd=home, stdout=out, stderr=err)
        while process.poll() is None and not (folder / f"{job_id}.over").exists():
            time.sleep(0.1)
        state = {None: "TIMEOUT", 0: "COMPLETED"}.get(process.poll(), "FAILED")
    _kill(folder, job_id)
    now = _read(folder, job_id)
    if now["state"] == "RUNNING":
        _write(folder, {**now, "state": state, "ended": time.time()})


def _kill(folder: Path, job: str) -> None:
    """Kills a job's processes as a scheduler does, by a mark that they cannot lose."""
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(_MARK)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if mark == f"{folder}:{job}" and process.cmdline()[2:3] != ["run"]:
            process.send_signal(signal.SIGKILL)


def _cancel(folder: Path, ids: list[str]) -> None:
    for job_id in ids:
        job = _read(folder, job_id.split(".")[0])
        if job["state"] in ("PENDING", "RUNNING"):
            _write(folder, {**job, "state": "CANCELLED", "ended": time.time()})
        _kill(folder, job["id"])


def _directives(script: str, mark: str) -> list[str]:
    lines = Path(script).read_text().splitlines()
    return [line.removeprefix(mark).strip() for line in lines if line.startswith(mark)]


def sbatch(folder: Path, arguments: list[str]) -> int:
    script = arguments[-1]
    given = dict(
        line.removeprefix("--").split("=", 1)
        for line in _directives(script, "#SBATCH")
        if "=" in line
    )
    cpus = str(len(os.sched_getaffinity(0)))
    variables = {
        **os.environ,  # jobs of Slurm take it over
        "SLURM_JOB_END_TIME": str(int(time.time()) + 60 * int(given["time"])),
        "SLURM_JOB_NUM_NODES": given["nodes"],
        "SLURM_CPUS_ON_NODE": cpus,
        "SLURM_JOB_NAME": given.get("job-name", "sbatch"),
    }
    job = _submit(folder, script, given, variables)
    print(f"Submitted batch job {job}")
    return 0


def sacct(folder: Path, arguments: list[str]) -> int:
    if "--job" in arguments:
        for job in arguments[arguments.index("--job") + 1].split(","):
            print(f"{job:<12} {_read(folder, job)['state']:>20}")
    return 0


def squeue(folder: Path, arguments: list[str]) -> int:
    return 1  # where sacct is, it is not asked


def scancel(folder: Path, arguments: list[str]) -> int:
    _cancel(folder, arguments)
    return 0


def _ranks(folder: Path, count: int, command: list[str], variable: str) -> int:
    ranks = [
        subprocess.Popen(command, env={**os.environ, variable: str(rank)}) for rank in range(count)
    ]
    return max(rank.wait() for rank in ranks)


def srun(folder: Path, arguments: list[str]) -> int:
    start = arguments.index("bash")
    count = int(arguments[arguments.index("--ntasks") + 1])
    assert int(os.environ["SLURM_JOB_NUM_NODES"]) == count
    assert f"--cpus-per-task={os.environ['SLURM_CPUS_ON_NODE']}" in arguments
    return _ranks(folder, count, arguments[start:], "SLURM_PROCID")


def qsub(folder: Path, arguments: list[str]) -> int:
    script = arguments[-1]
    lines = _directives(script, "#PBS")
    given = {line[:2]: line[3:] for line in lines}
    select = next(line for line in lines if line.startswith("-l select="))
    nodes = int(re.match(r"-l select=(\d+)", select)[1])
    nodefile = folder / f"nodes.{time.time_ns()}"
    nodefile.write_text("".join(f"node{number}\n" for number in range(nodes)))
    variables = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "HOME": str(folder),
        "PBS_NODEFILE": str(nodefile),
        "PBS_O_WORKDIR": str(Path.cwd()),
    }
    files = {"output": given.get("-o"), "error": given.get("-e")}
    options = {name: file for name, file in files.items() if file} | {"lines": lines}
    print(_submit(folder, script, options, variables) + ".stand-in")
    return 0


def qstat(folder: Path, arguments: list[str]) -> int:
    letters = {"PENDING": "Q", "RUNNING": "R"}
    told = {}
    for job_id in arguments:
        if job_id.endswith(".stand-in"):
            job = _read(folder, job_id.split(".")[0])
            limit = next(line for line in job["options"]["lines"] if "walltime=" in line)
            told[job_id] = {
                "job_state": letters.get(job["state"], "F"),
                "stime": time.ctime(job.get("began")),
                "Resource_List": {"walltime": limit.split("=")[1]},
            }
    print(json.dumps({"Jobs": told}))
    return 0


def qdel(folder: Path, arguments: list[str]) -> int:
    _cancel(folder, arguments)
    return 0


def mpiexec(folder: Path, arguments: list[str]) -> int:
    start = arguments.index("/usr/bin/sh")
    hosts = Path(arguments[arguments.index("--hostfile") + 1]).read_text().split()
    count = int(arguments[arguments.index("-n") + 1])
    assert len(hosts) == count
    return _ranks(folder, count, arguments[start:], "PMI_RANK")


if __name__ == "__main__":
    name, where, *rest = sys.argv[1:]
    if name == "run":
        _run(Path(where), rest[0])
    else:
        sys.exit(globals()[name](Path(where), rest))
