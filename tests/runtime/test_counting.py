"""Counting over actors: progress, what stages took, metrics, and what a run that stands still says."""

import time
import urllib.request

import pyarrow as pa
import ray

from halfiqa_ray.runtime.counting import Counts, Timed, count_errors, counting, last_counts

ROWS = pa.table({"error": [None, "broken_photo", None]})


@ray.remote(num_cpus=0.5)
def work(counter):
    """What a task of a stream does."""
    Timed("decode", lambda rows: time.sleep(0.2), counter)(ROWS)
    count_errors(ROWS)
    counter.add.remote(3, 1)


def read(counter, done):
    """The counts once so much is done: tasks do not wait for the counter to hear them."""
    deadline = time.monotonic() + 60
    while (found := ray.get(counter.read.remote())).done < done and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def scraped(*words):
    """Lines of Ray's metrics with all of these words, once there are any; other tests have lines of their own."""
    port = ray.nodes()[0]["MetricsExportPort"]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        except OSError:
            text = ""
        if found := [line for line in text.splitlines() if all(w in line for w in words) and line[0] != "#"]:
            return found
        time.sleep(0.5)
    return []


def test_what_stages_took_is_counted_and_measured(cluster, capsys):
    with counting(6, "photos scored", 10) as counter:
        ray.get([work.remote(counter) for _ in range(2)])
        found = read(counter, 6)
    assert (found.done, found.failed, found.photos) == (6, 2, {"decode": 6})
    assert 0.4 <= found.seconds["decode"] < 4
    assert "photos scored: 6 of 6 in " in capsys.readouterr().out
    assert scraped("ray_halfiqa_photos_total", 'stage="decode"')
    assert scraped("ray_halfiqa_stage_seconds_sum", 'stage="decode"')
    assert scraped("ray_halfiqa_failed_photos_total", 'kind="broken_photo"')


def test_a_run_that_stands_still_says_what_it_waits_for(cluster, capsys):
    """An actor that no node has room for, and tasks that have all been done."""
    Impossible = ray.remote(num_cpus=99)(Counts)
    with counting(6, "photos scored", 1, 2, "Counts") as counter:
        waiting = Impossible.remote()
        ray.get(work.remote(counter))
        deadline = time.monotonic() + 60
        said = ""
        while "no photos scored" not in said and time.monotonic() < deadline:
            time.sleep(0.2)
            said += capsys.readouterr().out
    ray.kill(waiting)
    [line] = [line for line in said.splitlines() if line.startswith("no photos scored for 2 s")][:1]
    assert "decode 3 photos; 0 scoring actors are up and 1 wait for room; free " in line
    assert "of 4 CPU, 0 of 0 GPU; 1 node running" in line


def test_work_goes_on_without_the_counter(cluster, capsys):
    with counting(6, "photos scored", 0.5) as counter:
        ray.kill(counter)
        time.sleep(2)
        assert last_counts(counter) == Counts()
    said = capsys.readouterr().out
    assert "what each stage took is lost (ActorDiedError); the work is done" in said
    assert "not counted any longer" in said
    assert "photos scored: 0 of 6 in " in said
