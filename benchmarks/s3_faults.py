"""An experiment whose object store spoils one request in twenty, against the same with a store that does not.

Photos, checkpoints and output lie in a bucket of a real S3 server on loopback. `jobs/prepare.py` and `jobs/rank.py`
(which measures, zeroes and makes the tables in the same stream) run once over the server and once over a proxy that
answers 503 and 500, resets connections before and after the work is done, is late, and cuts answers short. Then the
stored rows of both are compared.

    python -m benchmarks.s3_faults --output benchmarks/results/s3_faults.md
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks import small_experiment
from benchmarks.faulty_proxy import FAULTS, FaultyProxy
from benchmarks.printing import machine, run
from benchmarks.s3_server import make_bucket, s3_server, use
from halfiqa_ray import storage

KINDS = ("manifest", "rank", "measures", "zeroed")
JOBS = ("prepare", "rank")


def seconds_of_jobs(settings: Path, output: str) -> float:
    """Run the jobs; raises when one fails."""
    started = time.monotonic()
    for job in JOBS:
        subprocess.run(small_experiment.command(job, settings, output), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def tables_differ(first: str, second: str) -> list[str]:
    """The names of the tables that are not equal in both outputs, but for where these lie: notes on what is missing
    name folders.
    """

    def contents(output: str, name: str) -> str:
        file = f"{output}/tables/{name}"
        if not storage.exists(file):
            return "none"
        if name.endswith(".parquet"):
            rows = storage.read_table(file).replace_schema_metadata(None)
            said = f"{rows.schema}\n{rows.to_pylist()}"
        else:
            said = storage.read_bytes(file).decode()
        return said.replace(output, "")

    names = {file.rsplit("/", 1)[1] for each in (first, second) for file in storage.list_files(f"{each}/tables")}
    return [name for name in sorted(names) if contents(first, name) != contents(second, name)]


def work(options: argparse.Namespace) -> Iterable[str]:
    """Both runs, and what they left."""
    with tempfile.TemporaryDirectory() as scratch, s3_server(options.weed) as url:
        use(url)
        bucket = make_bucket(url, "experiment")
        small_experiment.write_photos(f"{bucket}/my photos", options.photos)
        settings = small_experiment.write_settings(Path(scratch) / "settings.yaml", f"{bucket}/my photos")
        outputs = {name: f"{bucket}/{name}" for name in ("undisturbed", "disturbed")}
        for output in outputs.values():
            small_experiment.write_models(output)
        alone = seconds_of_jobs(settings, outputs["undisturbed"])
        with FaultyProxy(url, rate=options.rate, seed=options.seed) as proxy:
            use(proxy.url)
            disturbed = seconds_of_jobs(settings, outputs["disturbed"])
            use(url)
        found = small_experiment.compared(outputs["undisturbed"], outputs["disturbed"], KINDS)
        different = tables_differ(outputs["undisturbed"], outputs["disturbed"])
    kinds = {kind: proxy.injected[kind] for kind in FAULTS}
    server = "seaweedfs" if options.weed else "moto"
    return [
        f"{machine()}; {server} as the S3 server; {options.photos} photos, two untrained models, seed {options.seed}.",
        "",
        f"`jobs/{'.py`, `jobs/'.join(JOBS)}.py` over the proxy: {proxy.requests:,} requests, "
        f"{proxy.injected.total():,} of them spoilt ({proxy.injected.total() / proxy.requests:.1%}).",
        "",
        "| fault | times |",
        "|---|---|",
        *(f"| {WORDS[kind]} | {count} |" for kind, count in kinds.items()),
        "",
        f"Rows: {found}. Tables that differ: {', '.join(different) or 'none'}.",
        "",
        f"{'Equal to the last bit.' if found.equal and not different else 'NOT EQUAL.'} Time with faults / without: "
        f"{disturbed / alone:.2f} ({disturbed:.0f} s / {alone:.0f} s).",
    ]


WORDS = {
    "slow_down": "503 SlowDown",
    "internal_error": "500 InternalError",
    "reset": "connection reset before the request is done",
    "answer_lost": "request done, connection reset before the answer",
    "late": "answer 2 s late",
    "truncated": "answer cut in its middle",
}

if __name__ == "__main__":
    run(__doc__, work, photos=24, rate=0.05, seed=1, weed="")
