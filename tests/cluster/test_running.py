"""Jobs on clusters of several processes, as users run them. (What `benchmarks/submit.py` and others show at length.)"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.autoscaling import NODE_TYPES
from benchmarks.local_ray import add_nodes, growing_ray, local_ray
from benchmarks.submit import Transcript, exact_code, rank_rows, stopped_and_resumed, submit
from halfiqa_ray import storage

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run_job(flags, head, output):
    """The rank job in the cluster of ``head``; its exit code, what it said, and its errors."""
    command = [sys.executable, "jobs/rank.py", *shlex.split(flags), "--output", str(output)]
    ran = subprocess.run(command, env=head.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    print(ran.stdout, ran.stderr)
    return ran.returncode, ran.stdout, ran.stderr


def test_two_nodes_give_the_rows_of_one(small, tmp_path):
    one, two = (str(tmp_path / name) for name in ("one", "two"))
    flags = small(40, [one, two]) + " --rank.rows_per_file 4 --compute.cpus_per_actor 1.25 --compute.actors "
    with local_ray(0) as head, add_nodes(head, 1, 2):
        assert run_job(f"{flags} 1", head, one)[0] == 0
        with add_nodes(head, 1, 2):
            code, said, _ = run_job(f"{flags} 2", head, two)
    assert code == 0
    assert "2 scoring actors on cpu" in said
    assert rank_rows(two).num_rows == 40
    assert rank_rows(one).equals(rank_rows(two))


@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="needs root to hide a folder from a node")
def test_a_path_of_one_machine_is_refused_in_seconds(small, tmp_path):
    output = str(tmp_path / "out" / "here")
    flags = small(4, [output])
    with local_ray(2) as head:
        with add_nodes(head, 1, 2, hidden=tmp_path / "out"):
            code, _, error = run_job(flags, head, output)
            assert code == 2
            assert "is a path that not all nodes share" in error
            assert "s3://BUCKET/results" in error
            assert "Traceback" not in error
            assert not storage.exists(f"{output}/rank")
        with add_nodes(head, 1, 2, hidden=tmp_path / "photos"):
            code, _, error = run_job(flags, head, output)
            assert code == 2
            assert "photos are out of reach from node" in error


def test_a_job_submitted_with_a_token_fails_stops_and_resumes(small, bucket):
    outputs = f"{bucket}/stopped", f"{bucket}/alone"
    flags = small(600, outputs, bucket) + " --compute.actors 1"
    told = Transcript()
    with local_ray(4) as head:
        code, text, _ = told.type(submit("rank", f"{flags} --compute.device cuda", outputs[0], "no-gpu"), head)
        assert (code, exact_code(head, "no-gpu")) == (1, "FAILED 2")
        assert "the cluster has 0 GPUs" in text
        stranger = {**head.environment, "RAY_AUTH_TOKEN": "0" * 64}
        refused = subprocess.run([head.ray, "job", "list"], env=stranger, capture_output=True, text=True, check=False)
        assert refused.returncode != 0
        stopped_and_resumed(told, head, flags, outputs, 600)
    [stopped, again] = storage.list_files(f"{outputs[0]}/runs", ".json")[-2:]
    assert storage.read_json(stopped)["status"].startswith("stopped")
    assert storage.read_json(again)["status"] == "finished"


def test_a_cluster_without_workers_grows_for_a_job_and_refuses_what_it_will_never_have(small, tmp_path):
    """The autoscaler's node types are read from the running cluster; nothing has a GPU when the job asks for one."""
    output = str(tmp_path / "out")
    flags = small(24, [output]) + " --rank.rows_per_file 4"
    with growing_ray({"cpu": NODE_TYPES["cpu"]}, cpus=0) as head:
        code, _, error = run_job(flags + " --compute.device cuda", head, output)
        assert code == 2
        assert "the cluster has 0 GPUs, 0 at most" in error
        assert "1 x cpu (4 CPU, 0 GPU)" in error
        assert not storage.exists(f"{output}/rank")
        code, said, _ = run_job(flags, head, output)
    assert code == 0
    assert "the autoscaler may add nodes that cannot be asked now" in said
    assert rank_rows(output).num_rows == 24
