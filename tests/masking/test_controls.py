import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.masking.controls import centre_half, other_images, random_halves
from halfiqa_ray.masking.grid import Grid

GRID = Grid(3, 4)
names = st.lists(st.text(max_size=6), min_size=2, max_size=30, unique=True)


@settings(deadline=None)
@given(names, st.integers(0, 5), st.randoms())
def test_a_random_half_depends_on_seed_and_own_name_only(ids, seed, random):
    halves = dict(zip(ids, random_halves(GRID, ids, seed), strict=True))
    shuffled = random.sample(ids, len(ids) // 2)
    for image_id, half in zip(shuffled, random_halves(GRID, shuffled, seed), strict=True):
        assert half == halves[image_id]
    assert all(int(half).bit_count() == 6 for half in halves.values())


def test_random_halves_are_all_halves_alike():
    ids = [f"{i}.jpg" for i in range(6000)]
    halves = random_halves(GRID, ids, seed=1)
    share = (halves[:, None] >> np.arange(12) & 1).mean(0)
    assert np.abs(share - 0.5).max() < 0.03  # standard error 0.0065
    assert len(set(halves.tolist())) > 900  # of 924
    assert (halves != random_halves(GRID, ids, seed=2)).mean() > 0.99


def test_the_centre_half():
    assert centre_half(GRID) == GRID.as_mask([1, 2, 5, 6, 9, 10])
    assert centre_half(Grid(4, 4)) == Grid(4, 4).as_mask([5, 6, 9, 10, 1, 2, 4, 7])  # tie: the lower numbers
    assert centre_half(Grid(3, 3)) == Grid(3, 3).as_mask([4, 1, 3, 5])
    assert centre_half(Grid(1, 2)) == 0b01


@settings(deadline=None)
@given(names, st.integers(0, 5), st.randoms())
def test_every_image_takes_another_one_and_each_is_taken_once(ids, seed, random):
    taken = dict(zip(ids, [ids[i] for i in other_images(ids, ids, seed)], strict=True))
    assert set(taken.values()) == set(ids)
    assert all(image_id != other for image_id, other in taken.items())
    shuffled = random.sample(ids, len(ids))
    assert taken == dict(zip(shuffled, [shuffled[i] for i in other_images(shuffled, shuffled, seed)], strict=True))


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(0, 5))
def test_the_other_image_is_of_another_photo_where_that_can_be(numbers, seed):
    photos = [f"photo {n}" for n in numbers]
    ids = [f"{i}.png" for i in range(len(photos))]
    others = other_images(ids, photos, seed)
    assert sorted(others) == list(range(len(ids)))
    assert (others != np.arange(len(ids))).all()
    if max(photos.count(photo) for photo in photos) <= len(photos) // 2:
        assert all(photos[i] != photos[other] for i, other in enumerate(others))


def test_a_single_image_has_no_other():
    assert other_images(["a"], ["a"], 1).tolist() == [-1]
    assert other_images([], [], 1).tolist() == []


def test_the_seed_matters():
    ids = [str(i) for i in range(100)]
    assert (other_images(ids, ids, 1) != other_images(ids, ids, 2)).mean() > 0.9
