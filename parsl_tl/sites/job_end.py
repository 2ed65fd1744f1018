"""When the job ends that this process runs in, as its scheduler knows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from datetime import datetime

from parsl_tl.errors import ConfigError

_LONGEST_ANSWER = 120.0  # seconds


def seconds_left() -> float:
    """Returns how long the job of this process may still run.

    Raises:
        ConfigError: it is in no job of Slurm, PBS, LSF or Flux, or the scheduler does not say.
    """
    if end := os.environ.get("SLURM_JOB_END_TIME", ""):
        return float(end) - time.time()
    if job := os.environ.get("SLURM_JOB_ID"):
        return _duration(_ask("squeue", "--noheader", "--jobs", job, "--format", "%L"))
    if job := os.environ.get("PBS_JOBID"):
        return _left_by_pbs(_ask("qstat", "-f", "-F", "json", job))
    if job := os.environ.get("LSB_JOBID"):
        hours, minutes = _ask("bjobs", "-noheader", "-o", "time_left", job).split()[0].split(":")
        return 3600.0 * int(hours) + 60.0 * int(minutes)
    if "FLUX_JOB_ID" in os.environ or "FLUX_URI" in os.environ:
        return float(_ask("flux", "job", "timeleft"))
    raise ConfigError(
        "when this job ends is not known: this process is in none of Slurm, PBS, LSF or Flux; "
        "give a number of seconds"
    )


def _left_by_pbs(answer: str) -> float:
    (job,) = json.loads(answer)["Jobs"].values()
    hours, minutes, seconds = map(int, job["Resource_List"]["walltime"].split(":"))
    began = datetime.strptime(job["stime"], "%a %b %d %H:%M:%S %Y").timestamp()
    return began + 3600 * hours + 60 * minutes + seconds - time.time()


def _duration(text: str) -> float:
    """Reads Slurm's form of a duration: days-hours:minutes:seconds, of which the last are there."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if found is None:
        raise ConfigError(f"Slurm says of this job's time: {text!r}; give a number of seconds")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


def _ask(*command: str) -> str:
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, timeout=_LONGEST_ANSWER, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise ConfigError(
            f"when this job ends is not known: {' '.join(command)}: {said}; "
            "give a number of seconds"
        ) from error
    return asked.stdout.strip()
