"""The tables of a finished run: the pieces of work of ``halfiqa_ray.tables`` as Ray tasks where they are many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models.checkpoints import CheckpointError
from halfiqa_ray.report.summary import summary, where
from halfiqa_ray.stages.keys import key_of_run
from halfiqa_ray.tables import experiments
from halfiqa_ray.tables.beyond import carry_over, localisation_text
from halfiqa_ray.tables.beyond.localisation import COLUMNS, localise, read_truth
from halfiqa_ray.tables.build import make_run_tables, write_run_tables
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.reading import Run, find_run, read_images, read_rows
from halfiqa_ray.tables.stored.scan import in_process
from halfiqa_ray.tables.writing import write_table

# Below this many bytes of scores, starting workers takes longer than the work.
SMALL_BYTES = 64 << 20
LEFT_OUT = "no table of localisation"


def make_tables(settings: Settings, run_key: str | None = None) -> str:
    """Write ``tables/`` for the newest run of the data set, or that of ``run_key``; returns text to print.

    Works in this process without Ray, or when there is little to do. Raises FileNotFoundError when there is no run.
    """
    run = find_run(settings.output, settings.data.dataset, run_key)
    images = read_images(run)
    distributed = ray.is_initialized() and 4 * run.grid.subsets * len(images) > SMALL_BYTES
    workers = max(1, int(ray.cluster_resources().get("CPU", 1))) if distributed else 1
    mapper = _Tasks(workers) if distributed else in_process
    resampling = Resampling(settings.rank.bootstrap, settings.seed)
    tables = make_run_tables(run, settings.rank.rule, resampling, mapper, workers, images)
    text = write_run_tables(settings.output, tables)
    found = experiments.make_experiments(settings.output, run, images, tables, settings.rank.rule, resampling, mapper)
    experiments.write_tables(settings.output, found)
    across = carry_over.carry_over(settings.output, resampling)
    carry_over.write(settings.output, across)
    told = [text, experiments.console(found), *([carry_over.console(across)] if across.num_rows else [])]
    return "\n\n".join(told)


def make_explanations(settings: Settings, run_key: str) -> str:
    """Write only those tables of a run that explaining adds to; returns the text of that of explanations."""
    run = find_run(settings.output, settings.data.dataset, run_key)
    resampling = Resampling(settings.rank.bootstrap, settings.seed)
    found = experiments.explanation_tables(settings.output, run, read_images(run), settings.rank.rule, resampling)
    experiments.write_tables(settings.output, found)
    return experiments.PAGES["explanations"].console(found["explanations"])


def run(settings: Settings, run_key: str | None = None, verbose: bool = True) -> int:
    """All tables that the settings and the stored runs allow. Returns the exit code 0.

    Prints them when ``verbose``, else the few numbers that matter and where the tables lie. Without ``run_key`` it is
    the run of the settings' checkpoint and grid. What the table of localisation needs and is not there leaves it out,
    which is said. With ``run_key``, at the end of a job whose photos are done, so does what is wrong with it; else that
    raises ValueError.
    """
    after_photos = run_key is not None
    key = run_key or key_of_run(settings, None)
    notes: list[str] = []
    with _said_after_photos(notes, after_photos):
        notes += missing_inputs(settings)  # before the tables, which take their time
    texts = [make_tables(settings, key)]
    if not any(note.startswith(LEFT_OUT) for note in notes) and (damage := _truth(settings)):
        with _said_after_photos(notes, after_photos):
            texts.append(make_localisation(settings, damage, key, _untrained(settings)[0]))
    if verbose:
        said = [*texts, where(settings.output)]
    else:
        said = [summary(settings.output, find_run(settings.output, settings.data.dataset, key))]
    print("\n".join([*notes, *said]), flush=True)
    return 0


@contextmanager
def _said_after_photos(notes: list[str], after_photos: bool) -> Iterator[None]:
    """What is wrong with the table of localisation is a note where photos are done, and else an error."""
    try:
        yield
    except ValueError as error:
        if not after_photos:
            raise
        notes.append(f"{LEFT_OUT}: {error}")


def missing_inputs(settings: Settings) -> list[str]:
    """What the settings name for tables and is not there, a line each: it will be left out.

    Raises ValueError for a list of planted defects that cannot be used: before the work, where it can be mended.
    """
    if not settings.tables.damage:
        return []
    damage = settings.below_output(settings.tables.damage)
    if not storage.exists(damage):
        return [f"{LEFT_OUT}: tables.damage is {damage}, and there is no such file"]
    read_truth(damage, Grid(settings.rank.grid.rows, settings.rank.grid.columns))
    return _untrained(settings)[1]


def _truth(settings: Settings) -> str | None:
    """The list of planted defects, where there is one."""
    damage = settings.tables.damage and settings.below_output(settings.tables.damage)
    return damage if damage and storage.exists(damage) else None


def _untrained(settings: Settings) -> tuple[Run | None, list[str]]:
    """The run of the untrained model that the settings name, or why there is none."""
    if settings.tables.untrained is None:
        return None, []
    try:
        key = key_of_run(settings, settings.below_output(settings.tables.untrained))
        return find_run(settings.output, settings.data.dataset, key), []
    except (CheckpointError, FileNotFoundError) as error:
        return None, [f"localisation has no untrained control: {error}"]


def make_localisation(
    settings: Settings,
    truth: str,
    run_key: str | None = None,
    untrained: Run | None = None,
) -> str:
    """Write ``tables/localisation`` for a run on data with planted defects; returns text to print.

    ``truth`` is the URI of a CSV with image_name and damaged_blocks, ``untrained`` a run of an untrained model over
    the same images (`find_run`). Raises FileNotFoundError when there is no run, ValueError for a bad truth file.
    """
    run = find_run(settings.output, settings.data.dataset, run_key)
    table = localise(
        read_rows(run, COLUMNS),
        read_truth(truth, run.grid),
        run.grid,
        read_rows(untrained, COLUMNS) if untrained is not None else None,
        *(run.dataset, run.key, run.synthetic, settings.rank.bootstrap, settings.seed),
    )
    page = localisation_text.page(settings.rank.rule)
    write_table(settings.output, "localisation", table, page.markdown)
    return page.console(table)


class _Tasks:
    """A mapper over Ray tasks: at most ``workers`` in flight, results in the order of the arguments."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        remote = ray.remote(num_cpus=1)(function)
        flying: deque[Any] = deque()
        for some in arguments:
            if len(flying) >= self.workers:
                yield ray.get(flying.popleft())
            flying.append(remote.remote(*some))
        while flying:
            yield ray.get(flying.popleft())
