"""What a job says at its end, on a planted run."""

from pathlib import Path

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


def test_a_bad_list_of_damage_is_refused_before_the_work_and_said_after_it(output, capsys, tmp_path, monkeypatch):
    run = find_run(output, "planted")
    truth = tmp_path / "damage.csv"
    truth.write_text("name,damaged\nx.jpg,1\n")
    bad = settings(output, tables={"damage": str(truth)})
    with pytest.raises(ValueError, match=r"damage\.csv has no column damaged_blocks or image_name"):
        aggregate.missing_inputs(bad)
    said = ran(capsys, bad, run.key)
    assert f"no table of localisation: {truth} has no column" in said
    assert "Section 2" in said  # the other tables are there
    monkeypatch.setattr(aggregate, "key_of_run", lambda *_: run.key)
    with pytest.raises(ValueError, match=r"has no column"):
        aggregate.run(bad)  # the tables alone: nothing is lost


def test_a_missing_untrained_control_is_said_before_the_work(output, tmp_path):
    truth = tmp_path / "damage.csv"
    truth.write_text("image_name,damaged_blocks\nx.jpg,1\n")
    lost = settings(output, tables={"damage": str(truth), "untrained": str(tmp_path / "gone")})
    (line,) = aggregate.missing_inputs(lost)
    assert "localisation has no untrained control" in line
    assert str(tmp_path / "gone") in line


def test_paths_of_results_have_one_base_wherever_a_job_is_started(output, tmp_path, monkeypatch, capsys):
    """Absolute, a URI, or below the output; the folder that a job is started in means nothing."""
    assert Settings(output="out/").below_output("data/d.csv") == "out/data/d.csv"
    assert Settings(output="s3://b/out").below_output("data/d.csv") == "s3://b/out/data/d.csv"
    for path in ("/data/d.csv", "s3://b/d.csv", "~/d.csv"):
        assert Settings(output="out").below_output(path) == path
    run = find_run(output, "planted")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damage.csv").write_text("image_name,damaged_blocks\n")
    relative = settings(output, tables={"damage": "damage.csv"})
    (line,) = aggregate.missing_inputs(relative)
    assert f"{output}/damage.csv" in line
    names = pq.read_table(f"{output}/rank", columns=["image_id"])["image_id"].to_pylist()
    rows = [f"{name.rsplit('/')[-1]},1" for name in names]
    (Path(output) / "damage.csv").write_text("\n".join(["image_name,damaged_blocks", *rows]))
    assert aggregate.missing_inputs(relative) == []
    stored = Path(output) / "tables" / "localisation.parquet"
    assert not stored.exists()
    ran(capsys, relative, run.key)
    assert {row["n"] for row in pq.read_table(stored).to_pylist() if row["scope"] == "all"} == {40}
