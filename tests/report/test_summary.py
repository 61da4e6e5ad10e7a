"""What a job says at its end, on a planted run."""

import pyarrow.parquet as pq
import pytest

from halfiqa_ray.config import Settings
from halfiqa_ray.pipelines import aggregate
from halfiqa_ray.report.summary import LINES, WIDTH, summary
from halfiqa_ray.tables.stored.reading import find_run
from tests.tables import planted


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    output = tmp_path_factory.mktemp("summary")
    table, _ = planted.rows(40, noise=0.02, photos=12)
    planted.write(output, table)
    return str(output)


def settings(output, **changes):
    return Settings(output=output, data={"dataset": "planted"}, rank={"bootstrap": 50}, **changes)


def ran(capsys, *given, **verbose):
    assert aggregate.run(*given, **verbose) == 0
    return capsys.readouterr().out


def test_a_job_says_little_and_all_when_asked(output, capsys):
    run = find_run(output, "planted")
    said = ran(capsys, settings(output), run.key, verbose=False)
    assert said == summary(output, run) + "\n"
    lines = said.splitlines()
    assert len(lines) <= LINES
    assert all(len(line) <= WIDTH for line in lines if output not in line)
    for part in ("40 images", "trivial half masked", "important half masked", f"{output}/tables", "section2", "report"):
        assert part in said
    everything = ran(capsys, settings(output), run.key)
    assert len(everything.splitlines()) > 2 * LINES
    assert "best and worst fixed half" in everything


def test_the_numbers_are_those_of_the_table(output, capsys):
    run = find_run(output, "planted")
    ran(capsys, settings(output), run.key)
    rows = pq.read_table(f"{output}/tables/section2.parquet").to_pylist()
    (row,) = (row for row in rows if row["scope"] == "all" and row["default_rule"])
    for half in ("trivial", "important"):
        assert f"{row[half]:.3f} [{row[f'{half}_low']:.3f}, {row[f'{half}_high']:.3f}]" in summary(output, run)


def test_a_table_that_lacks_its_input_leaves_itself_out(output, capsys, tmp_path):
    """The photos are done by then: nothing may fail any more."""
    run = find_run(output, "planted")
    lost = settings(output, tables={"damage": str(tmp_path / "gone.csv"), "untrained": str(tmp_path / "gone")})
    for verbose in (False, True):
        said = ran(capsys, lost, run.key, verbose=verbose)
        assert f"no table of localisation: tables.damage is {tmp_path}/gone.csv" in said
