from xml.etree import ElementTree

import numpy as np
import pytest

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.report.dimming import with_blocks
from halfiqa_ray.report.figures.draw import check_named, data_figures, photo_figures, write
from halfiqa_ray.report.figures.style import SYNTHETIC
from halfiqa_ray.tables.stored.reading import find_run, read_images
from tests.report import planted_report
from tests.report.planted_report import GRID, HOSTILE

DATA = (
    *("section2", "subsets", "sufficiency", "faithfulness", "table1", "table1_mos", "explained_halves"),
    "zeroed_predictions",
    *("matching", "matching_histogram", "agreement", "positions", "predictions"),
)
PHOTO = ("halves", "explanations_triq", "measures", "measures_agree", "measures_disagree")


def settings(output, **report):
    return Settings(output=str(output), report=report)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Images with names that mean something elsewhere, maps of three of them, no tables."""
    output = tmp_path_factory.mktemp("hostile")
    table, half = planted_report.plant(output, HOSTILE)
    planted_report.measure(output, table, half)
    planted_report.store_maps(output, HOSTILE[:3])
    return output, find_run(str(output), "planted"), half


def test_every_figure_says_what_data_it_is_of(planted):
    output, run, _ = planted
    drawn = data_figures(settings(output), run)
    assert tuple(one.name for one in drawn) == DATA
    for one in drawn:
        assert one.title
        assert SYNTHETIC in one.figure.get_suptitle()
        if one.missing:
            assert "jobs/" in one.missing
            continue
        assert "planted, " in one.caption
        assert " image" in one.caption
        assert "synthetic data" in one.caption
        assert any(digit in one.alt for digit in "0123456789")
        assert "nan" not in (one.caption + one.alt).lower().replace("planted", "")
        assert "None" not in one.caption + one.alt
    assert [one.name for one in drawn if one.missing] == ["explained_halves", "predictions"]


def test_estimates_are_drawn_where_they_are_cheaper_than_all_subsets(planted, monkeypatch):
    output, run, _ = planted
    monkeypatch.setattr("halfiqa_ray.report.figures.draw.costs", lambda grid: (64,))
    names = [one.name for one in data_figures(settings(output), run)]
    assert names[3:6] == ["faithfulness", "shapley_estimates", "table1"]


def test_without_tables_everything_is_named_with_its_job(hostile):
    output, run, _ = hostile
    drawn = data_figures(settings(output), run)
    assert tuple(one.name for one in drawn) == DATA
    assert all("jobs/" in one.missing for one in drawn)


def test_photos_are_drawn_with_halves_scores_and_maps(hostile):
    output, run, half = hostile
    drawn = {one.name: one for one in photo_figures(settings(output, images=HOSTILE), run)}
    assert tuple(drawn) == PHOTO
    assert not any(one.missing for one in drawn.values())
    axes = np.reshape(drawn["halves"].figure.axes, (4, 3))
    for row, important in zip(axes, half, strict=False):
        whole, trivial, other = (axis.images[0].get_array() for axis in row)
        np.testing.assert_array_equal(trivial, with_blocks(whole, GRID, int(important)))
        np.testing.assert_array_equal(other, with_blocks(whole, GRID, GRID.full ^ int(important)))
        assert row[1].get_title().startswith("trivial masked: ")
    explained = drawn["explanations_triq"]
    panels = np.reshape(explained.figure.axes[:12], (4, 3))
    assert [axis.get_title().split("\n")[0] for axis in panels[0]] == ["photo", "LIME", "Grad-CAM"]
    assert panels[0, 1].get_title() == "LIME\n-1 to +2 MOS"
    for axis in panels[:3, 1:].ravel():
        _, drawn_map = axis.images
        assert drawn_map.get_cmap().name == "PuOr_r"
        assert drawn_map.get_clim() == (-2, 2)  # 0 is in the middle
    assert "no map stored" in panels[3, 1].texts[0].get_text()
    assert f"No map is stored of {HOSTILE[3]} (lime)" in explained.caption
    measured = drawn["measures"]
    titles = [axis.get_title() for axis in measured.figure.axes[:7]]
    assert titles[1:5] == [
        "saliency",
        "frequency\ncsf_whitened",
        "objectness\nboundary\nconnectivity\n(not the paper's)",
        "averaged\nboundary\nconnectivity\n(not the paper's)",
    ]
    assert "no pixel maps of 1 of the photos (jobs/explain.py stores them)" in measured.figure.get_suptitle()
    assert [axis.images[0].get_array().shape for axis in measured.figure.axes[1::7]] == [(8, 12)] * 3 + [(2, 3)]


def test_the_most_and_the_least_agreeing_images(hostile):
    output, run, _ = hostile
    drawn = {one.name: one for one in photo_figures(settings(output, count=2), run)}
    values = []
    for name in ("measures_agree", "measures_disagree"):
        axes = np.reshape(drawn[name].figure.axes, (2, 8))
        values += [float(axis.get_xlabel().removeprefix("rank corr. ")) for axis in axes[:, 1]]
    most, second, least, last = values
    assert most >= second > last >= least


def test_names_are_text_in_the_files(hostile, capsys):
    output, run, _ = hostile
    drawn = [one for one in photo_figures(settings(output, images=HOSTILE), run) if one.name == "halves"]
    written = write(str(output), run, drawn)
    assert [uri.rpartition("/")[2] for uri in written] == ["halves.svg", "halves.png", "halves.pdf", "captions.txt"]
    svg = storage.read_bytes(written[0]).decode()
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "$x$ $\\frac{1}{0}$.jpg" in texts
    assert any(text and text.startswith("</svg><scr") for text in texts)
    assert "<script" not in svg
    words = storage.read_bytes(written[3]).decode()
    assert "</svg><script>alert(1)</script>.jpg" in words  # plain text
    assert "\\u202e" in words
    assert "\u202e" not in words
    assert "\x07" not in words


def test_what_cannot_be_drawn_is_said_and_its_old_files_go(planted, tmp_path, capsys):
    output, run, _ = planted
    missing = [one for one in data_figures(settings(output), run) if one.missing]
    old = str(tmp_path / "figures" / "planted" / "predictions.svg")
    storage.write_text(old, "of another run")
    assert [uri.rpartition("/")[2] for uri in write(str(tmp_path), run, missing)] == ["captions.txt"]
    assert "not drawn: predictions of planted: no predictions for images with MOS below" in capsys.readouterr().out
    assert not storage.exists(old)


def test_one_photo_without_levels_mos_measures_and_manifest(tmp_path):
    planted_report.plant(tmp_path, count=1, levels=False, mos=False, photos=None, splits=())
    run = planted_report.make_tables(tmp_path)
    drawn = [*data_figures(settings(tmp_path), run), *photo_figures(settings(tmp_path), run)]
    by_name = {one.name: one for one in drawn}
    assert "score_change is shown instead" in by_name["halves"].caption
    assert "jobs/measure.py" in by_name["measures"].missing
    assert "jobs/explain.py" in by_name["explanations"].missing
    for name in ("halves", "table1_mos", "positions", "measures"):
        ElementTree.fromstring(by_name[name].svg)
    storage.delete_folder(str(tmp_path / "manifest"))
    assert all("jobs/prepare.py" in one.missing for one in photo_figures(settings(tmp_path), run))


def test_a_photo_that_is_gone_is_said_in_its_place(tmp_path):
    planted_report.plant(tmp_path, count=6)
    storage.delete_folder(str(tmp_path / "photos"))
    drawn = photo_figures(settings(tmp_path), find_run(str(tmp_path), "planted"))[0]
    assert "there is no such file" in drawn.figure.axes[0].texts[0].get_text()


def test_a_named_image_that_no_run_has_is_an_error(hostile):
    output, run, _ = hostile
    check_named(settings(output, images=HOSTILE[:1]), [run])
    with pytest.raises(ValueError, match=r"report.images names 'nowhere.jpg', which no rank run"):
        check_named(settings(output, images=[HOSTILE[0], "nowhere.jpg"]), [run])


def test_more_named_photos_than_a_figure_holds(hostile):
    output, run, _ = hostile
    drawn = photo_figures(settings(output, images=read_images(run).image_id), run)[0]
    assert len(drawn.figure.axes) == 12 * 3
    assert "the first 12 of 24 named photos" in drawn.figure.get_suptitle()
