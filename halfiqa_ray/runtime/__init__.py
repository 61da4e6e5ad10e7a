"""How a job runs on Ray, whatever it computes.

Ray reads the variables below when it is first imported, so they are set here, before.

They make a session that a job starts for itself private: it listens on loopback only (the variable's name speaks of
Windows and macOS, where that is the default), torch's training workers too, and it takes a token that lives in this
process and its children alone.
Ray's own default would write one token file into the home folder, after which `ray start` asks for tokens that its
clients do not send. Nothing is touched in a submitted job or when joining a cluster (RAY_ADDRESS is set), where
the cluster decides, in a worker, or when the mode is set already. A RAY_ADDRESS of nothing, or of spaces, as compose
files and CI make it, is no address and is taken away: Ray would find a cluster to join in it, and its own defaults
listen on every address.
"""

import os
import secrets
import socket
import sys

if os.environ.get("RAY_ADDRESS", "local").strip() in ("", "local"):
    os.environ.pop("RAY_ADDRESS", None)

if "ray" not in sys.modules and "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    for backend in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{backend}_SOCKET_IFNAME", loopback)
