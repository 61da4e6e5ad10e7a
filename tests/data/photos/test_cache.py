import numpy as np
import pytest
from PIL import Image

from halfiqa_ray.data.photos import cache as photo_cache
from halfiqa_ray.data.photos.cache import PhotoCache
from halfiqa_ray.data.photos.images import Bounds, open_photo, read_photo, resize

HEIGHT, WIDTH = 12, 16
ORDER = [np.array([3, 0]), np.array([1, 2]), np.array([3, 3])]


@pytest.fixture
def photos(tmp_path):
    uris = []
    for number in range(4):
        file = tmp_path / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        uris.append(str(file))
    return uris


@pytest.fixture
def reads(monkeypatch):
    seen = []
    monkeypatch.setattr(photo_cache, "read_photo", lambda uri, *more: seen.append(uri) or read_photo(uri, *more))
    return seen


@pytest.mark.parametrize(("slots", "expected_reads"), [(0, 12), (4, 4), (2, None)])
def test_gives_the_resized_photos_in_order_and_keeps_what_fits(photos, reads, slots, expected_reads):
    cache = PhotoCache(photos, HEIGHT, WIDTH, Bounds(10**6), slots * HEIGHT * WIDTH * 3, threads=1)
    for _ in range(2):
        got = list(cache.batches(ORDER))
        for batch, places in zip(got, ORDER, strict=True):
            expected = [resize(open_photo(photos[p], 10**6), HEIGHT, WIDTH) for p in places]
            assert np.array_equal(batch[0], np.stack(expected))
            assert batch[1].all()
    assert len(cache.kept) == slots
    if slots == 4:
        # All six places are asked for before the first is read, so a photo asked for twice may be read twice.
        assert 4 <= len(reads) <= 6
    elif expected_reads:
        assert len(reads) == expected_reads


def test_changing_a_batch_does_not_change_the_cache(photos):
    cache = PhotoCache(photos, HEIGHT, WIDTH, Bounds(10**6), 10**6)
    first, _ = next(cache.batches([np.array([0])]))
    before = first.copy()
    first[:] = 0
    assert np.array_equal(next(cache.batches([np.array([0])]))[0], before)


def test_a_broken_photo_is_left_out_and_named_until_it_is_mended(photos, tmp_path):
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(b"nothing")
    cache = PhotoCache(photos, HEIGHT, WIDTH, Bounds(10**6), 10**6)
    got = list(cache.batches(ORDER))
    assert [readable.tolist() for _, readable in got] == [[True, True], [True, False], [True, True]]
    assert not got[1][0][1].any()
    assert list(cache.problems) == [2]
    kind, message = cache.problems[2]
    assert (kind, "2.png" in message) == ("not_a_photo", True)
    (tmp_path / "2.png").write_bytes(whole)
    assert next(cache.batches([np.array([2])]))[1].all()
    assert cache.problems == {}
