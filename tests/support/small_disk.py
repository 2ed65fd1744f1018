"""File systems of a few megabytes, to be filled."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, megabytes):
    """Mounts a tmpfs there, or skips the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs needs rights that this process does not have")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(disk, leave=0):
    """Writes a file until the disk is full, and makes it smaller by some bytes."""
    with open(disk / "ballast", "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass  # full now, to the last page
        ballast.truncate(ballast.tell() - leave)
