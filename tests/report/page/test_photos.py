import base64
import io
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.report.figures.choose import read_halved
from halfiqa_ray.report.page.packing import STEPS, quantise, restore
from halfiqa_ray.report.page.page import _halves
from halfiqa_ray.report.page.photos import choose, read_photos
from halfiqa_ray.tables.stored.reading import find_run
from tests.report import planted_report
from tests.tables import planted as planted_rows


def photos_of(output, rule="level_plcc", **settings):
    """The photos of the page, and the images and rows that they are of."""
    settings = Settings(output=str(output), **settings)
    run = find_run(str(output), "planted")
    halved = read_halved(str(output), run, rule)
    return read_photos(settings, halved, _halves(settings, run, halved.images)), halved


def restored(photo):
    """Scores as the page restores them, by other means than ours."""
    steps = struct.iter_unpack("<H", base64.b64decode(photo["scores"]))
    return [photo["low"] + step / STEPS * (photo["high"] - photo["low"]) for (step,) in steps]


def picture(photo):
    return Image.open(io.BytesIO(base64.b64decode(photo["picture"].split(",")[1])))


@given(arrays(np.float32, st.integers(1, 64), elements=st.floats(-1e4, 1e4, width=32)))
def test_a_quantised_score_is_off_by_half_a_step_at_most(scores):
    low, high, steps = quantise(scores)
    assert steps.dtype == np.dtype("<u2")
    error = np.abs(restore(low, high, steps) - scores.astype(np.float64))
    assert error.max() <= (high - low) / STEPS / 2 * (1 + 1e-9) + 1e-12 * max(abs(low), abs(high))
    assert (np.diff(steps[np.argsort(scores)].astype(int)) >= 0).all()  # no two scores change places


def test_every_score_of_every_photo_is_within_the_error_that_the_page_states(planted):
    output, _, table = planted
    photos, _ = photos_of(output)
    stored = dict(zip(table["image_id"].to_pylist(), table["subset_scores"].to_pylist(), strict=True))
    errors = [
        max(abs(a - b) for a, b in zip(restored(photo), stored[entry["id"]], strict=True))
        for entry, photo in zip(photos.gallery, photos.explorer, strict=True)
    ]
    assert photos.largest_error == pytest.approx(max(errors), rel=1e-9)
    assert 0 < photos.largest_error < 1e-4
    whole = {entry["id"]: entry["score"] for entry in photos.gallery}
    assert all(whole[name] == pytest.approx(scores[-1], rel=1e-5) for name, scores in stored.items())


def test_what_the_explorer_shows_is_what_is_stored(planted):
    output, _, table = planted
    photos, halved = photos_of(output)
    rows = {row["image_id"]: row for row in table.to_pylist()}
    gap = dict(zip(halved.images.image_id, halved.gap_N, strict=True))
    assert len(photos.gallery) == 24
    for entry, photo in zip(photos.gallery, photos.explorer, strict=True):
        row = rows[entry["id"]]
        assert photo["halves"]["level_plcc"] == row["important_level_plcc"]
        assert {"score_change", "shapley", "banzhaf", "image_plcc"} <= photo["halves"].keys()
        assert photo["shapley"] == pytest.approx(row["shapley"], rel=1e-5)
        assert photo["importance"]["score_change"] == pytest.approx(row["importance_score_change"], rel=1e-5)
        assert photo["levels"] == pytest.approx([0.2] * 5)
        assert (entry["split"], entry["mos"]) == (row["split"], pytest.approx(row["mos"], rel=1e-5))
        assert entry["gap"] == pytest.approx(gap[entry["id"]], rel=1e-5)
        assert set(photo["measures"]) == {*planted_report.MEASURES, planted_report.AVERAGED}
        assert ("level_plcc" in photo["zeroed"]) == (row["split"] == "test")
    zeroed = storage.read_table(storage.list_files(f"{output}/zeroed", ".parquet", True)[0]).to_pylist()[0]
    assert zeroed["zeroed_half"] == "none"
    model = storage.list_files(f"{output}/zeroed", ".parquet", True)[0].split("model=")[1].split("/")[0]
    shown = next(p for e, p in zip(photos.gallery, photos.explorer, strict=True) if e["id"] == zeroed["image_id"])
    assert shown["zeroed"]["level_plcc"][model][0] == pytest.approx(zeroed["score"], rel=1e-5)


def test_named_photos_come_first_then_telling_ones_test_images_and_others(planted):
    _, halved = photos_of(planted[0])
    images = halved.images
    named = [images.image_id[i] for i in (3, 7)]
    choice = choose(halved, [*named, "of another data set"], 20, seed=1)
    assert len(choice.positions) == len(set(choice.positions)) == sum(choice.groups.values()) == 20
    assert [images.image_id[p] for p in choice.positions[:2]] == named
    telling = choice.groups["whose two halves differ most"]
    assert 3 <= telling <= 5  # a quarter of 20, less those that were named
    shown = choice.positions[2 : 2 + telling]
    assert len({images.photo[p] for p in shown}) == telling
    rest = [p for p in range(len(images)) if images.photo[p] not in {images.photo[q] for q in (*shown, 3, 7)}]
    assert min(halved.gap_N[list(shown)]) >= max(halved.gap_N[rest])
    splits = [images.split[p] for p in choice.positions[2 + telling :]]
    assert splits == sorted(splits)  # test before train
    assert choice.groups["drawn from the test splits"] == splits.count("test")
    assert all(images.split[p] == "train" for p in set(range(len(images))) - set(choice.positions))


def test_the_draw_hangs_on_the_seed_and_not_on_the_order_of_rows(planted, tmp_path):
    output, _, table = planted
    _, halved = photos_of(output)
    chosen = [choose(halved, [], 10, seed).positions for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    planted_rows.write(tmp_path, table.take(np.random.default_rng(0).permutation(24)), grid=planted_report.GRID)
    again = read_halved(str(tmp_path), find_run(str(tmp_path), "planted"), "level_plcc")
    assert choose(again, [], 10, 1).positions == chosen[0]


def test_all_named_photos_are_shown_however_many(planted):
    _, halved = photos_of(planted[0])
    assert choose(halved, halved.images.image_id, 2, seed=1).groups == {"named in report.images": 24}


def test_photos_without_scores_levels_measures_or_zeroed_rows(tmp_path):
    planted_report.plant(tmp_path, levels=False, mos=False, splits=())
    photos, halved = photos_of(tmp_path)
    assert halved.rule == "score_change"
    assert "level_plcc has no halves" in halved.said
    for entry, photo in zip(photos.gallery, photos.explorer, strict=True):
        assert (entry["mos"], entry["split"], entry["damage"]) == (None, None, None)
        assert (photo["levels"], photo["measures"], photo["zeroed"]) == ([], {}, {})
        assert "level_plcc" not in {*photo["halves"], *photo["importance"]}
        assert photo["picture"].startswith("data:image/webp;base64,")


def test_a_photo_that_cannot_be_read_is_named_and_keeps_its_scores(tmp_path):
    table, _ = planted_report.plant(tmp_path)
    broken = sorted(tmp_path.glob("photos/*.jpg"))[0]
    broken.write_bytes(b"not a photo")
    photos, _ = photos_of(tmp_path)
    ((image_id, why),) = photos.unreadable.items()
    assert str(broken) in why
    (photo,) = (p for e, p in zip(photos.gallery, photos.explorer, strict=True) if e["id"] == image_id)
    assert photo["picture"] is None
    assert str(broken) in photo["note"]
    assert len(restored(photo)) == 64
    storage.delete_folder(str(tmp_path / "manifest"))
    photos, _ = photos_of(tmp_path)
    assert len(photos.unreadable) == table.num_rows
    assert all("jobs/prepare.py" in photo["note"] for photo in photos.explorer)


def test_pictures_are_small_and_turned_as_the_model_saw_them(tmp_path):
    table, _ = planted_report.plant(tmp_path, count=4, portrait="rotate")
    for path in tmp_path.glob("photos/*.jpg"):
        pixels = np.zeros((90, 60, 3), np.uint8)
        pixels[:30] = 255  # white at the top: at the left once it is turned a quarter to the left
        Image.fromarray(pixels).save(path, quality=95)
    sizes = {"original_height": 90, "original_width": 60}
    for name, size in sizes.items():
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pa.array([size] * 4, pa.int32()))
    planted_rows.write(tmp_path, table, grid=planted_report.GRID, portrait="rotate")
    photos, _ = photos_of(tmp_path, report={"thumbnail": 45})
    for photo in photos.explorer:
        assert photo["shape"] == (30, 45)
        assert "turned a quarter" in photo["note"]
        shown = picture(photo).convert("L")
        assert shown.size == (45, 30)
        assert shown.getpixel((5, 15)) > 200 > 50 > shown.getpixel((40, 15))


def test_a_photo_takes_its_share_of_fifteen_megabytes_for_two_hundred(tmp_path):
    """A picture with the spectrum of natural photos (1/f), 12 blocks, and everything that there is of it."""
    draw, (rows, columns) = np.random.default_rng(0), (768, 1024)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None]).clip(1 / columns)
    noise = np.fft.ifft2(np.fft.fft2(draw.normal(size=(3, rows, columns))) / frequency).real
    pixels = (128 + 50 * noise / noise.std()).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    table, half = planted_report.plant(tmp_path, count=4, grid=planted_rows.Grid(3, 4), photos=4)
    planted_report.measure(tmp_path, table, half, planted_rows.Grid(3, 4))
    planted_report.zero(tmp_path, table, half, planted_rows.Grid(3, 4))
    for path in tmp_path.glob("photos/*.jpg"):
        Image.fromarray(pixels).save(path, quality=95)
    photos, _ = photos_of(tmp_path)
    assert max(len(str(photo)) for photo in photos.explorer) < 15e6 / 200


def test_planted_damage_is_known_where_the_settings_name_its_list(tmp_path):
    table, _ = planted_report.plant(tmp_path)
    first, second = table["image_id"].to_pylist()[:2]
    truth = tmp_path / "damage.csv"
    truth.write_text(f"image_name,damaged_blocks\n{first},5\n{second.rsplit('/')[-1]},9\n")
    tables = {"damage": str(truth)}
    found = {e["id"]: e["damage"] for e in photos_of(tmp_path, data={"dataset": "planted"}, tables=tables)[0].gallery}
    assert (found[first], found[second]) == (5, 9)
    assert len([d for d in found.values() if d]) == 2
    other = photos_of(tmp_path, data={"dataset": "another"}, tables=tables)[0]
    assert {entry["damage"] for entry in other.gallery} == {None}
