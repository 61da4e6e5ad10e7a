import base64
import hashlib
import re
from collections import Counter

import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.command import run_job
from halfiqa_ray.config import Settings
from halfiqa_ray.report.figures.dots import section2
from halfiqa_ray.report.page.html import SCRIPTS, TEMPLATES
from halfiqa_ray.report.page.page import shown_runs
from halfiqa_ray.tables.writing import NOTICE
from tests.report import pages, planted_report
from tests.report.pages import Parsed
from tests.tables import planted as planted_rows

HOSTILE = (
    '"><img src=x onerror=alert(1)>.jpg',
    "</script><script>alert(2)</script>.jpg",
    "<!--<script>\u2028\u2029.jpg",
    "' onmouseover='alert(3)\u202e.jpg",
    "{{ 7 * 7 }}{% raw %}&lt;b&gt;.jpg",
)


@pytest.fixture(scope="module")
def parsed(planted):
    """The page of the planted output, taken apart."""
    return Parsed(pages.write(planted[0]))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A page of two data sets, one of them synthetic, with a figure of each, and its output."""
    output = tmp_path_factory.mktemp("two")
    for dataset, synthetic in (("koniq10k", False), ("made-up", True)):
        table, half = planted_report.plant(output, dataset=dataset, synthetic=synthetic)
        planted_report.measure(output, table, half, dataset=dataset)
        planted_report.make_tables(output, dataset)
    runs = shown_runs(Settings(output=str(output)))
    figures = {run.dataset: [section2(str(output), run)] for run in runs}
    return output, Parsed(pages.write(output, figures))


def test_nothing_is_fetched_and_the_policy_would_forbid_it(parsed):
    policy = next(a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == rules["font-src"] == "data:"
    digest = base64.b64encode(hashlib.sha256(parsed.scripts["page"].encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert not set(rules) - {"default-src", "script-src", "style-src", "img-src", "font-src", "base-uri", "form-action"}
    for name in ("src", "href", "action", "xlink:href", "srcset", "data", "poster"):
        assert all(value.startswith(("data:", "#")) for value in parsed.values(name))
    style = (TEMPLATES / "page.css").read_text()
    assert "url(" not in style
    assert "@import" not in style


def test_scripts_put_nothing_into_the_page_as_markup_and_can_be_inlined():
    for name in SCRIPTS:
        source = (TEMPLATES / name).read_text()
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "fetch(",
        ):
            assert word not in source
        assert "</" not in source
        assert "<!--" not in source


def test_hostile_names_and_words_are_text(tmp_path):
    splits = ("test", "</td></script><img src=y onerror=alert(4)>")
    table, half = planted_report.plant(tmp_path, HOSTILE, photos=None, splits=splits)
    planted_report.zero(tmp_path, table, half, models=("triq", '"><svg onload=alert(5)>'))
    planted_report.make_tables(tmp_path)
    (tmp_path / "photos" / f"{hashlib.sha256(HOSTILE[0].encode()).hexdigest()[:12]}.jpg").write_bytes(b"broken")
    failed = {"image_id": HOSTILE[0], "uri": "x", "error": "<i>", "message": "<script>alert(6)</script>"}
    errors = tmp_path / "errors" / "stage=rank" / "dataset=planted" / f"run={planted_report.KEY}" / "errors.parquet"
    storage.write_table(str(errors), pa.Table.from_pylist([failed], schema.ERRORS))
    text = pages.write(tmp_path)
    found = Parsed(text)
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert {tag for tag, _ in found.elements} == {tag for tag, _ in Parsed(pages.write(tmp_path)).elements}
    assert not {"svg", "i"} & {tag for tag, _ in found.elements} - {"i"}
    assert [a for tag, a in found.elements if tag == "img"] == [{"id": "explorer-picture", "alt": ""}]
    scripts = [attributes for tag, attributes in found.elements if tag == "script"]
    assert len(scripts) == 1 + 24 + 1
    assert [a for a in scripts if a.get("type") != "application/json"] == [{}]
    entries = found.data()["photos"]
    assert {entry["id"] for entry in entries} >= set(HOSTILE)
    assert not any("\u202e" in entry["name"] or "\u2028" in entry["name"] for entry in entries)
    assert splits[1] in {entry["split"] for entry in entries}
    for number in range(24):
        assert found.photo(number)["scores"]
    for words in (HOSTILE[0], splits[1], '"><svg onload=alert(5)>', "<script>alert(6)</script>"):
        assert words in found.text
    assert "49" not in {entry["name"] for entry in entries}
    body = text[text.index('<script type="application/json"') :]
    assert not re.search(r"[\u2028\u2029]", body)


def test_ids_are_unique_and_labels_lead_somewhere(two):
    _, found = two
    ids = Counter(found.values("id"))
    of_figures = {name for name in ids if name.startswith("section2-")}
    assert of_figures
    assert [name for name, count in ids.items() if count > 1 and name not in of_figures] == []
    for attribute in ("aria-labelledby", "for"):
        for value in found.values(attribute):
            assert set(value.split()) <= ids.keys()
    for href in found.values("href"):
        assert not href.startswith("#") or href[1:] in ids
    for tag, attributes in found.elements:
        if tag == "button":
            assert attributes["type"] == "button"
        if tag in ("section", "nav", "form", "dialog", "article"):
            assert {"aria-label", "aria-labelledby"} & attributes.keys() or tag == "section"


def test_two_data_sets_have_their_own_tables_figures_and_photos(two):
    _, found = two
    assert [found.data(number)["dataset"] for number in (0, 1)] == ["koniq10k", "made-up"]
    assert [found.data(number)["synthetic"] for number in (0, 1)] == [False, True]
    assert found.text.count("Half of the blocks masked in the transformer (Section 2)") >= 2
    assert {a["data-dataset"] for tag, a in found.elements if tag == "section" and "data-dataset" in a} == {"0", "1"}


def test_made_up_scores_are_said_in_every_table_of_theirs_and_nowhere_else(two, planted):
    output, found = two
    assert found.text.count(NOTICE) == 1
    real = Parsed(pages.write(output, report={"datasets": ["koniq10k"]}))
    assert "ynthetic data" not in real.text.replace("Synthetic data: scores from a formula, not from people.", "")
    made_up = Parsed(pages.write(output, report={"datasets": ["made-up"]}))
    told = [caption for caption, _ in made_up.tables if caption]
    assert len(told) > 30
    assert all(caption.startswith("Synthetic data") for caption in told)


def shown(row, name):
    """A number as tables show it; one of a handful of images has no interval."""
    ends = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f}" + (f" [{ends[0]:.3f}, {ends[1]:.3f}]" if None not in ends else "")


def test_the_numbers_in_a_table_are_the_stored_ones(planted, parsed):
    output = planted[0]
    cells = [row for _, rows in parsed.tables for row in rows]
    for row in storage.read_table(f"{output}/tables/section2.parquet").to_pylist():
        wanted = shown(row, "trivial")
        name = row["name"] + " (default rule)" * row["default_rule"]
        assert any(cell[0] == name and wanted in cell for cell in cells)
    for row in storage.read_table(f"{output}/tables/table1.parquet").to_pylist():
        if row["n"] and row["default_rule"]:
            wanted = shown(row, "important")
            assert any(cell[0] == row["model"] and wanted in cell for cell in cells)
    assert "0.922; 0.680 / 0.671; 0.972 / 0.902" in parsed.text  # the paper's, beside its model
    headline = next(r for r in storage.read_table(f"{output}/tables/section2.parquet").to_pylist() if r["default_rule"])
    assert f"{headline['trivial']:.3f} [{headline['trivial_low']:.3f}" in parsed.text


def test_columns_without_a_number_are_left_out_and_scores_that_are_not_there_said(tmp_path):
    table, half = planted_report.plant(tmp_path, mos=False, levels=False, splits=())
    planted_report.measure(tmp_path, table, half)
    planted_report.zero(tmp_path, table, half)
    planted_report.make_tables(tmp_path)
    found = Parsed(pages.write(tmp_path))
    headers = {cell for _, rows in found.tables if rows for cell in rows[0]}
    assert not {name for name in headers if "MOS" in name}
    assert "no scores" in found.text
    assert "level_plcc has no halves here; score_change is shown instead" in found.text
    assert found.data()["rule"] == "score_change"
    assert "level_plcc" not in found.data()["rules"]
    for _, rows in found.tables:
        for column in zip(*rows[1:], strict=True) if rows else ():
            assert any(column)
    results = found.text[: found.text.index("Made by halfiqa_ray")]
    assert not re.search(r"\b(nan|None|undefined)\b", results)


def test_what_is_missing_is_named_with_the_job_that_makes_it(tmp_path):
    planted_report.plant(tmp_path)
    found = Parsed(pages.write(tmp_path))
    for name in ("section2", "table1", "table2", "sufficiency", "agreement", "positions"):
        assert re.search(rf": there is no \S+/tables/{name}.parquet: jobs/tables.py writes it", found.text)
    assert not [attributes["id"] for tag, attributes in found.elements if tag == "article"]  # no empty card
    assert re.search(r"\d+ more tables could be made", found.text)
    assert "localisation" not in found.text
    assert "No table of Section 2 for this run: run jobs/tables.py" in found.text
    assert "No figures were drawn" in found.text
    assert "no record of a finished rank job" in found.text


def test_what_nothing_was_computed_for_leaves_no_table(tmp_path, capsys):
    planted_report.plant(tmp_path)
    planted_report.make_tables(tmp_path)  # nothing is measured or zeroed
    found = Parsed(pages.write(tmp_path))
    shown = {attributes["id"] for tag, attributes in found.elements if tag == "article"}
    assert "table-0-section2" in shown
    assert shown.isdisjoint({"table-0-table1", "table-0-averaged_measure", "table-0-explanations"})
    assert "jobs/zero.py writes it" in found.text


def test_tables_of_another_run_or_version_are_not_shown(planted, tmp_path):
    table, _ = planted_report.plant(tmp_path, key="ffffffff", seed=1)
    planted_report.make_tables(tmp_path)
    planted_report.plant(tmp_path, seed=2, created="2026-02-01T00:00:00+00:00")
    found = Parsed(pages.write(tmp_path))
    assert found.text.count(f"has no rows of run {planted_report.KEY} of planted") >= 10
    assert table.num_rows


def test_photos_that_failed_are_listed_for_this_run_only(tmp_path):
    planted_report.plant(tmp_path)

    def fail(stage, image_id, *folder):
        row = {"image_id": image_id, "uri": "u", "error": "broken_photo", "message": f"{image_id} is broken"}
        uri = "/".join([str(tmp_path), "errors", f"stage={stage}", "dataset=planted", *folder, "errors.parquet"])
        storage.write_table(uri, pa.Table.from_pylist([row], schema.ERRORS))

    fail("rank", "ours.jpg", f"run={planted_report.KEY}")
    fail("rank", "of-another-run.jpg", "run=eeeeeeee")
    fail("measure", "measured.jpg", "run=dddddddd")
    fail("prepare", "listed.jpg")
    found = Parsed(pages.write(tmp_path))
    assert "24 photos scored, 3 failed" in found.text
    rows = [row for _, rows in found.tables for row in rows if row[-1].endswith("is broken")]
    assert [row[:2] for row in rows] == [["measure", "measured.jpg"], ["prepare", "listed.jpg"], ["rank", "ours.jpg"]]


def test_a_run_is_told_with_model_key_grid_versions_and_seen_from_its_record(tmp_path):
    planted_report.plant(tmp_path, backbone="net_x", checkpoint="/nowhere/triq", checkpoint_sha256="abc123")
    record = {"status": "finished", "device": "cuda", "versions": {"torch": "9.9"}}
    storage.write_json(str(tmp_path / "runs" / f"rank-20260101-{planted_report.KEY}.json"), record)
    late = record | {"status": "failed: no", "versions": {"torch": "0.0"}}
    storage.write_json(str(tmp_path / "runs" / f"rank-20260102-{planted_report.KEY}.json"), late)
    text = Parsed(pages.write(tmp_path)).text
    for words in ("TRIQ, backbone net_x", planted_report.KEY, "2 × 3, 64 subsets", "torch 9.9", "cuda", "abc123"):
        assert words in text
    assert "the checkpoint is not at its place any more" in text
    assert "torch 0.0" not in text


def test_a_run_without_halves_is_refused_with_words(tmp_path):
    table, _ = planted_report.plant(tmp_path)
    for rule in schema.IMAGE_RULES:
        at = table.column_names.index(f"important_{rule}")
        table = table.set_column(at, table.schema.field(at), pa.nulls(table.num_rows, pa.uint16()))
    planted_rows.write(tmp_path, table, grid=planted_report.GRID)
    with pytest.raises(ValueError, match=r"no halves by level_plcc or by score_change"):
        pages.write(tmp_path)


def test_runs_to_show_are_the_newest_of_every_data_set_or_those_named(two, tmp_path):
    output, _ = two
    assert [run.dataset for run in shown_runs(Settings(output=str(output)))] == ["koniq10k", "made-up"]
    named = Settings(output=str(output), report={"datasets": ["made-up"]})
    assert [run.dataset for run in shown_runs(named)] == ["made-up"]
    with pytest.raises(ValueError, match=r"there are runs of koniq10k, made-up"):
        shown_runs(Settings(output=str(output), report={"datasets": ["nosuch"]}))
    with pytest.raises(ValueError, match=r"no rank run.*jobs/rank\.py"):
        shown_runs(Settings(output=str(tmp_path)))


def test_the_job_says_what_is_wrong_and_makes_nothing(tmp_path, capsys):
    planted_report.plant(tmp_path / "there")
    for arguments, words in (
        (["--output", str(tmp_path / "no")], "no rank run of any data set below"),
        (["--output", str(tmp_path / "there"), "--report.images", "[x.jpg]"], "report.images names 'x.jpg'"),
        (["--output", str(tmp_path / "there"), "--report.datasets", "[y]"], "there are runs of planted"),
    ):
        assert run_job("report", arguments) == 2
        assert words in capsys.readouterr().err
    assert not list(tmp_path.rglob("index.html"))


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
def test_text_can_be_read_on_its_ground_in_light_and_dark(theme):
    """WCAG 2.2: 4.5 for text, 3 for what is no text."""
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (TEMPLATES / "page.css").read_text())
    colours = {name: luminance((light, dark)[theme]) for name, light, dark in found}

    def contrast(a, b):
        high, low = sorted((colours[a], colours[b]), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for ground in ("ground", "card"):
        for text in ("ink", "muted", "accent"):
            assert contrast(text, ground) >= 4.5
        for mark in ("up", "down", "important"):
            assert contrast(mark, ground) >= 3
    assert contrast("warn", "warn-ground") >= 4.5
