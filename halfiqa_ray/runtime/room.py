"""Whether this machine has what a private Ray session needs: a folder that its sockets fit into, and no too low limits.

Ray puts its files below RAY_TMPDIR, TMPDIR (on Linux) or /tmp, and sockets among them, whose paths the system keeps
below 108 bytes; a folder that another user made there may not be writable.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from halfiqa_ray import machine
from halfiqa_ray.runtime.address import ClusterError

MOST_PATH = 107 if sys.platform == "linux" else 103  # bytes in the path of a socket
BELOW = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.12")  # a process id has at most 7 digits
PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # short ones
# Below these Ray's processes end one after the other, in words that name no limit.
LEAST = {
    "NOFILE": (256, "files open at once", "ulimit -n"),
    "NPROC": (128, "processes and threads", "ulimit -u"),
    "AS": (8 << 30, "bytes of address space", "ulimit -v"),
    "STACK": (512 << 10, "bytes of stack", "ulimit -s"),
}
ALL_LIMITS = LEAST | {"DATA": (0, "bytes of data", "ulimit -d")}


def folder() -> str | None:
    """A new folder for Ray's files where its own choice would not do, which is said; None where that is good.

    Raises ClusterError where there is none, or a limit of the shell is too low for Ray.
    """
    check_limits()
    chosen = os.environ.get("RAY_TMPDIR") or (sys.platform == "linux" and os.environ.get("TMPDIR")) or PLACES[0]
    problem = _unusable(Path(chosen) / "ray")
    if problem is None:
        return None
    for place in PLACES:
        try:
            made = tempfile.mkdtemp(prefix="ray-", dir=place)
        except OSError:
            continue
        print(f"note: Ray's files are in {made} while the job runs: {problem}", flush=True)
        return made
    raise ClusterError(f"{problem}, nor can {', '.join(PLACES)} be written: set RAY_TMPDIR to a short path of your own")


def leave(folder: str | None) -> None:
    """Delete the folder that was made."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def check_limits() -> None:
    """Raise ClusterError for a limit of the shell below which Ray cannot start."""
    for name, (least, what, command) in LEAST.items():
        limits = machine.shell_limits(name, hard=name == "NOFILE")  # Ray raises that one itself, as far as it may
        if limits and limits[0] < least and not (name == "NPROC" and machine.is_privileged()):
            raise ClusterError(
                f"the shell allows {limits[0]:,} {what} ({command}), and Ray needs {least:,} at least: raise it"
            )


def does_not_start(error: Exception) -> str:
    """One line for a session that did not start: Ray's words, the limits of the shell, and what to do."""
    found = {command: machine.shell_limits(name) for name, (_, _, command) in ALL_LIMITS.items()}
    limits = ", ".join(f"{command}: {limit[0]:,}" for command, limit in found.items() if limit) or "none"
    return (
        f"Ray does not start on this machine: {' '.join(str(error).split())} Try again when it is less busy; "
        f"if that does not help, raise the limits of the shell ({limits}; -v, -d and -s in bytes)"
    )


def _unusable(ray: Path) -> str | None:
    """Why Ray's files cannot be in a folder; None when they can."""
    if not ray.is_absolute():
        return f"{ray} is not an absolute path"
    if len(os.fsencode(ray)) + BELOW > MOST_PATH:
        return f"{ray} is too long a path for its sockets"
    there = next(each for each in (ray, *ray.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"{ray} cannot be written by this user"
    # Where it has run before, it also writes into what it made then.
    mine = [each for each in (ray / "ray_current_cluster",) if each.exists() and not os.access(each, os.W_OK)]
    return f"{mine[0]} is another user's" if mine else None
