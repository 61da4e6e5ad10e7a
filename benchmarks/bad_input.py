"""What odd, broken and hostile input does to the prepare and the rank job: kind by kind, and nothing lost in silence.

The photos are those in Pillow's own source package (fetched once into the cache folder; some 1,000 of every odd kind),
the same all named .jpg, and others that are made here. One prepare and one rank job go over all of them. Every file
must come out as a row of rank/, as a row of errors/, or in a count that prepare prints; else the benchmark fails. Then
lists of scores: one of a million rows, some of whose names lead out of the root.

    python -m benchmarks.bad_input --output benchmarks/results/bad_input.md
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from benchmarks.printing import machine, run
from halfiqa_ray import storage
from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.photos.images import Bounds, ImageError, read_photo
from tests.data import odd_photos
from tests.stages.test_subsets import write_checkpoint

JOB_SECONDS = 1800  # a job that takes longer hangs
PILLOW, RENAMED = "Pillow's test images", "Pillow's, all named .jpg"
# As root every file can be read, unless the right to do so is given up.
ORDINARY_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
COUNTS = (
    "hidden",
    "no photos",
    "not followed",
    "left out",
)  # words of the lines in which prepare counts what it leaves out


def pillow_images(cache: Path) -> Path:
    """The folder of test images in Pillow's source package, of the version that is installed."""
    wanted = version("pillow")
    if not (found := list(cache.glob(f"pillow-{wanted}*/Tests/images"))):
        cache.mkdir(parents=True, exist_ok=True)
        source = ["download", "--quiet", "--no-deps", "--no-binary", "pillow", "--dest", str(cache)]
        subprocess.run([sys.executable, "-m", "pip", *source, f"pillow=={wanted}"], check=True)
        with tarfile.open(next(cache.glob(f"pillow-{wanted}*.tar.gz"))) as archive:
            # Python before 3.11.4 has no filter="data".
            inside = [each for each in archive if each.isfile() and ".." not in each.name and each.name[0] != "/"]
            archive.extractall(cache, members=inside)
        found = list(cache.glob(f"pillow-{wanted}*/Tests/images"))
    return found[0]


def write_photos(folder: Path, outside: Path, corpus: Path) -> None:
    """All kinds, a folder each."""
    odd_photos.write_all(folder, outside, odd_photos.pictures() | odd_photos.bombs())
    shutil.copytree(corpus, folder / PILLOW, symlinks=True)
    (folder / RENAMED).mkdir()
    for number, path in enumerate(sorted(path for path in corpus.rglob("*") if path.is_file())):
        shutil.copy(path, folder / RENAMED / f"{number:04} {path.name}.jpg")


def job(name: str, *flags: str) -> tuple[float, str]:
    """Run a job as an ordinary user would; returns its seconds and output. Raises when it fails or hangs."""
    user = ORDINARY_USER if os.geteuid() == 0 and shutil.which(ORDINARY_USER[0]) else []
    command = [*user, sys.executable, f"jobs/{name}.py", "--data.dataset", "bad", *flags]
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    start = time.monotonic()
    told = subprocess.run(command, env=environment, capture_output=True, timeout=JOB_SECONDS, check=False)
    said = told.stdout.decode(errors="replace")
    if told.returncode:
        raise RuntimeError(f"{name} ended with exit code {told.returncode}\n{said}\n{told.stderr.decode()[-4000:]}")
    return time.monotonic() - start, said


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The image ids of a folder of tables, with the error where there is one."""
    found = []
    for file in storage.list_files(str(folder), ".parquet", recursive=True):
        table = storage.read_table(file)
        found += table.select([name for name in ("image_id", "error") if name in table.column_names]).to_pylist()
    return found


def by_kind(folder: Path, output: Path, counted: int) -> Iterator[str]:
    """The table; raises when a file is lost, or other than ``counted`` files are neither photos nor errors.

    Files in folders that systems make, or jobs wrote, are counted by folder, by prepare; here by file.
    """
    ranked, failed = rows_of(output / "rank"), rows_of(output / "errors")
    if lost := odd_photos.unaccounted(folder, {row["image_id"] for row in [*ranked, *failed]}):
        raise RuntimeError(f"{len(lost)} files are in no table: {lost[:10]}")
    yield "| kind | files | rows of rank/ | rows of errors/, by reason | counted as no photos | lost | decoding, s |"
    yield "|---|---|---|---|---|---|---|"
    for kind in sorted(path.name for path in folder.iterdir()):
        names = [Path(place) / name for place, _, files in os.walk(folder / kind) for name in files]
        reasons = Counter(row["error"] for row in failed if row["image_id"].split("/")[0] == kind)
        good = sum(row["image_id"].split("/")[0] == kind for row in ranked)
        said = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        others = sum(odd_photos.is_counted(path.relative_to(folder), folder) for path in names)
        counted -= sum(_counted(path.relative_to(folder), folder) for path in names)
        yield f"| {kind} | {len(names)} | {good} | {said} | {others} | 0 | {decoding_seconds(names):.1f} |"
    if counted:
        raise RuntimeError(f"prepare counts {counted} more files than there are")


def decoding_seconds(names: Sequence[Path]) -> float:
    """Seconds to decode those that have a photo's name, one after the other, in a process of its own."""
    start = time.monotonic()
    for path in names:
        if path.suffix.lower() in odd_photos.SUFFIXES and not path.name.startswith("."):
            try:
                read_photo(str(path), Bounds.of(DataSettings()), [(64, 96)])
            except ImageError:
                continue
    return time.monotonic() - start


def _counted(path: Path, root: Path) -> bool:
    """Whether prepare counts this file: one in a folder that is left out counts with its folder, under its name."""
    return odd_photos.is_counted(path, root) and not odd_photos.in_a_left_out_folder(path, root)


@contextmanager
def linked_photos(folder: Path, count: int) -> Iterator[list[str]]:
    """So many names of one photo, 10,000 a folder; a file may have some 60,000 names."""
    names = []
    folder.mkdir()
    for number in range(count):
        place, original = folder / f"{number // 10_000:03}", folder / f"original{number // 50_000}"
        if number % 50_000 == 0:
            original.write_bytes(odd_photos.jpeg(number))
        if number % 10_000 == 0:
            place.mkdir()
        (place / f"{number}.jpg").hardlink_to(original)
        names.append(f"{place.name}/{number}.jpg")
    try:
        yield names
    finally:
        shutil.rmtree(folder)


def long_list(folder: Path, count: int) -> str:
    """Prepare a list of very many rows, one in 1,000 of them bad."""
    bad = ("../{}.jpg", "/etc/{}.jpg", "s3://x/{}.jpg", "missing-{}.jpg")
    with linked_photos(folder / "many", count) as names:
        for number in range(0, count, 1000):
            names[number] = bad[number // 1000 % len(bad)].format(number)
        lines = [f"{name},{n % 100},{'train' if n % 5 else 'test'}\n" for n, name in enumerate(names)]
        (folder / "many.csv").write_text("img_name,mos,split\n" + "".join(lines))
        flags = ["--data.layout", "pyiqa", "--data.root", str(folder / "many"), "--data.scores", f"{folder}/many.csv"]
        seconds, said = job("prepare", *flags, "--output", str(folder / "many-out"))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    problems = [line.strip() for line in said.splitlines() if "leaves_root:" in line or "missing_photo:" in line]
    return (
        f"A list of {count:,} rows, and as many photos: prepare took {seconds:.0f} s and {peak >> 10} MiB of memory. "
        f"Bad rows: {'; '.join(problems)}."
    )


def work(options: argparse.Namespace) -> Iterable[str]:
    """Everything, as Markdown."""
    lines = [f"{machine()}; Pillow {version('pillow')}.", ""]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        place = Path(temporary)
        many = long_list(place, options.rows) if options.rows else None  # first: its memory is that of the largest job
        folder, output = place / "photos", str(place / "out")
        write_photos(folder, place / "outside", pillow_images(Path(options.cache)))
        checkpoint = write_checkpoint(place / "checkpoint")
        where = ["--output", output, "--data.root", str(folder)]
        prepared, said = job("prepare", *where)
        grid = ["--rank.grid.rows", "2", "--rank.grid.columns", "3"]
        alone = ["--rank.zero", "false", "--rank.tables", "false"]
        ranked, _ = job("rank", *where, *grid, *alone, "--rank.checkpoint", checkpoint)
        notes = [line for line in said.splitlines() if any(words in line for words in COUNTS)]
        counted = sum(int(line.split()[0].replace(",", "")) for line in notes if " files " in line)
        lines += by_kind(folder, Path(output), counted)
        lines += ["", f"prepare: exit code 0 in {prepared:.0f} s; rank, with measures: exit code 0 in {ranked:.0f} s."]
        lines += ["What prepare counts and leaves out:", "", "```"]
        lines += [*notes, "```", *(["", many] if many else [])]
        (folder / "not to be read" / "closed").chmod(0o700)
    return lines


if __name__ == "__main__":
    run(__doc__, work, cache="results/pillow-source", rows=1_000_000)
