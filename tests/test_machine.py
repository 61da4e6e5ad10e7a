"""Cores and memory are those that the system grants: each way of granting less, as the kernel writes it."""

import os
import subprocess
import sys

import pytest

from halfiqa_ray import machine

PLENTY = 10**15


@pytest.fixture
def host(monkeypatch):
    """A machine of 8 cores and a lot of memory, none of it limited."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1}.get(name, PLENTY))


def tree(root, group, mount, files):
    """A root folder with a process's group, what is mounted, and the files of the groups."""
    for name, text in {"proc/self/cgroup": group, "proc/self/mountinfo": mount, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


V2 = "30 20 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
V1 = (
    "30 20 0:27 {0} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "31 20 0:28 {0} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def test_nothing_is_limited(tmp_path, host):
    for root in (tmp_path, tree(tmp_path / "v2", "0::/\n", V2, {"sys/fs/cgroup/cpu.max": "max 100000\n"})):
        assert (machine.cores(str(root)), machine.memory(str(root))) == (8, PLENTY)


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 1), ("300000 100000", 3), ("50000 100000", 1)])
def test_a_container_of_version_2(tmp_path, host, quota, cores):
    files = {"sys/fs/cgroup/cpu.max": quota + "\n", "sys/fs/cgroup/memory.max": "1073741824\n"}
    root = tree(tmp_path, "0::/\n", V2, files)
    assert (machine.cores(root), machine.memory(root)) == (cores, 1 << 30)


def test_the_groups_above_count_too(tmp_path, host):
    """As a batch system nests them: the job's group has the limits, the step's has none."""
    files = {
        "sys/fs/cgroup/job/cpu.max": "400000 100000\n",
        "sys/fs/cgroup/job/memory.max": "2147483648\n",
        "sys/fs/cgroup/job/step/cpu.max": "max 100000\n",
        "sys/fs/cgroup/job/step/memory.max": "max\n",
    }
    root = tree(tmp_path, "0::/job/step\n", V2, files)
    assert (machine.cores(root), machine.memory(root)) == (4, 2 << 30)


@pytest.mark.parametrize("mounted", ["/", "/docker/abc"])
def test_a_container_of_version_1(tmp_path, host, mounted):
    """The group's path may be the host's, which is not to be seen inside, or be mounted as the root."""
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
    }
    group = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"
    root = tree(tmp_path, group, V1.format(mounted), files)
    assert (machine.cores(root), machine.memory(root)) == (2, 512 << 20)


def test_no_limit_of_version_1_is_none(tmp_path, host):
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = tree(tmp_path, "4:memory:/\n3:cpu,cpuacct:/\n", V1.format("/"), files)
    assert (machine.cores(root), machine.memory(root)) == (8, PLENTY)


def test_affinity_and_the_shell(tmp_path):
    code = (
        "import os, resource; from halfiqa_ray import machine\n"
        "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (3 << 28, -1))\n"
        "print(machine.cores(), machine.memory() == 3 << 28)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1", "True"]
