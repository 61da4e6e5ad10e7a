"""RAY_ADDRESS: which cluster to join, and whether there is one, found out before Ray looks for it for ten minutes."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

CONNECT_SECONDS, TRIES = 5, 2
ANSWER_SECONDS = 30
ADVICE = "set it to HOST:PORT as `ray start` printed it, or unset it for a private session on this machine"


class ClusterError(RuntimeError):
    """There is no cluster that can be joined; the text says what RAY_ADDRESS is and what to set."""


def given() -> str | None:
    """The cluster to join, from RAY_ADDRESS: None where it is not set, is empty or spaces, or is ``local``."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return None if address in ("", "local") else address


def checked(address: str) -> str:
    """HOST:PORT of the cluster. Raises ClusterError, within a minute, when there is none or nothing answers as one."""
    if address == "auto":
        address = _found()
    if "://" in address:
        raise ClusterError(refusal(address, _scheme_is_wrong(address.partition("://")[0].lower())))
    host, port = _parts(address)
    problem = ""
    for _ in range(TRIES):
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
            break
        except OSError as error:
            problem = str(error)
    else:
        raise ClusterError(refusal(address, f"nothing answers there ({problem})"))
    if problem := _unlike_ray(address) or "":
        raise ClusterError(refusal(address, problem))
    return address


def refusal(address: str, problem: str) -> str:
    """One line: the address (without the user part that a URL may have), what is wrong, and what to do."""
    if "@" in address:
        scheme, slashes, rest = address.rpartition("://")
        address = f"{scheme}{slashes}{rest.rpartition('@')[2]}"
    return f"RAY_ADDRESS is {address!r}: {' '.join(problem.split())}; {ADVICE}"


def _scheme_is_wrong(scheme: str) -> str:
    if scheme in ("http", "https"):
        return "that is where jobs are submitted (`ray job submit --address`), not where one joins a cluster"
    if scheme == "ray":
        return "Ray Client is not for these jobs, whose driver must run on a node: submit them (`ray job submit`)"
    return "a cluster's address has no scheme"


def _parts(address: str) -> tuple[str, int]:
    with suppress(ValueError):
        parts = urlsplit(f"//{address}")
        if parts.hostname and parts.port and parts.netloc == address and not parts.username:
            return parts.hostname, parts.port
    raise ClusterError(refusal(address, "that is not HOST:PORT"))


def _found() -> str:
    """What ``auto`` means: the Ray that was started last on this machine, or the only one that runs."""
    from ray._private import services

    started, running = services.find_bootstrap_address(None), services.find_gcs_addresses()
    if started and (started in running or not running):
        return str(started)
    if len(running) == 1:
        return str(next(iter(running)))
    how_many = f"several Rays run here ({', '.join(sorted(running))})" if running else "no Ray runs on this machine"
    raise ClusterError(refusal("auto", how_many))


def _unlike_ray(address: str) -> str | None:
    """What is wrong with whatever listens there; None for the head of a cluster.

    Asked in a thread that may be left behind: Ray's client tries again for minutes.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # it is made by Cython

    said: list[str | None] = []

    def ask() -> None:
        try:
            GcsClient(address=address).internal_kv_keys(b"", None, ANSWER_SECONDS)
            said.append(None)
        except Exception as error:  # of versions, tokens and networks
            said.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return said[0] if said else f"what listens there does not answer as Ray's head within {ANSWER_SECONDS} s"
