"""What this process may use of its machine: cores and memory, as the system grants them, not as the host has them.

A container, a batch system or a shell may grant less than the machine has: by the cores that a process may run on
(affinity, cpusets), by a share of their time (the CPU quota of a control group), by the memory of a control group, and
by the shell's limits (``ulimit``). The least of them counts. Linux has all of these; where one is missing, as on macOS,
it limits nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

UNLIMITED = 1 << 60  # bytes; version 1 of control groups says "no limit" by a number near 2^63
GROUPS, MOUNTS = "proc/self/cgroup", "proc/self/mountinfo"


def cores(root: str = "/") -> int:
    """Cores that this process may keep busy, at least 1: those of its affinity, or fewer by a quota (rounded down)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _group_folders("cpu", root) if (quota := _quota(folder)) is not None]
    return max(1, int(min([float(allowed), *quotas])))


def memory(root: str = "/") -> int:
    """Bytes of memory that this process may use: the machine's, or fewer by a control group or the shell's limits."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _group_folders("memory", root):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            words = _words(folder / name)
            if words and words[0].isdigit():
                found.append(int(words[0]))
    return min(each for each in [*found, *shell_limits("DATA", "AS")] if 0 < each < UNLIMITED)


def shell_limits(*names: str, hard: bool = False) -> list[int]:
    """The limits of the shell (``ulimit``) that are set: ``DATA`` for RLIMIT_DATA and so on.

    The soft ones, which count, or those up to which a process may raise them.
    """
    if resource is None:
        return []
    kinds = [getattr(resource, f"RLIMIT_{name}", None) for name in names]
    found = [resource.getrlimit(kind)[int(hard)] for kind in kinds if kind is not None]
    return [limit for limit in found if limit != resource.RLIM_INFINITY and limit >= 0]


def is_privileged() -> bool:
    """Whether this is a user whose processes the system does not count."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _quota(folder: Path) -> float | None:
    """Cores' worth of time in a control group of either version; None without a quota."""
    words = _words(folder / "cpu.max") or [
        *_words(folder / "cpu.cfs_quota_us"),
        *_words(folder / "cpu.cfs_period_us"),
    ]
    if len(words) != 2 or not all(word.isdigit() for word in words) or not int(words[1]):  # "max", "-1", or no file
        return None
    return int(words[0]) / int(words[1])


def _words(file: Path) -> list[str]:
    with suppress(OSError, ValueError):
        return file.read_text("ascii").split()
    return []


def _group_folders(controller: str, root: str) -> Iterator[Path]:
    """The folders of this process's control group and of those above it, for one controller.

    In a container the group's path may be the host's, which is not to be seen inside: then what is mounted is the
    group itself.
    """
    at = Path(root)
    with suppress(OSError, ValueError):
        groups = [line.split(":", 2) for line in (at / GROUPS).read_text().splitlines()]
        for mounted in (at / MOUNTS).read_text().splitlines():
            before, _, after = mounted.partition(" - ")
            kind, options = after.split()[0], after.split()[-1].split(",")
            mount_root, point = before.split()[3:5]
            if not (kind == "cgroup2" or (kind == "cgroup" and controller in options)):
                continue
            for number, controllers, path in groups:
                if number == "0" if kind == "cgroup2" else controller in controllers.split(","):
                    inside = Path(os.path.relpath(path, mount_root)) if path.startswith(mount_root) else Path()
                    place = at / point.lstrip("/")
                    chain = [place / inside, *(place / above for above in inside.parents)]
                    yield from (folder for folder in dict.fromkeys(chain) if ".." not in folder.parts)
