"""Who listens where, from the system's own tables (Linux)."""

from contextlib import suppress
from pathlib import Path

LISTEN = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def sockets_of(process):
    """The inodes of a process's sockets."""
    found = set()
    with suppress(OSError):
        for file in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                target = str(file.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def children(process):
    """A process and all below it."""
    found, parents = [process], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    for one in found:
        found += parents.get(one, [])
    return found


def listening(process):
    """Addresses, as the kernel writes them, that a process and those below it listen on, with how many ports."""
    mine = set().union(*(sockets_of(each) for each in children(process)))
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and words[9] in mine:
                address = words[1].rpartition(":")[0]
                found[address] = found.get(address, 0) + 1
    return found
