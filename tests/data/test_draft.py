"""A manifest in the making, without Ray: what each step adds, and what decides whether it is made anew."""

from collections import Counter

import pytest

from halfiqa_ray import schema
from halfiqa_ray.config import Settings
from halfiqa_ray.data.draft import Draft
from halfiqa_ray.data.problems import DataError, Problem
from tests.data.photo_files import write_lines, write_photos

NAMES = [f"{number:02d}.jpg" for number in range(40)]
VOTES = [f"{name},{number},{40 - number},0,0,60,{(number + 2 * (40 - number) + 300) / 100}" for number, name in
         enumerate(NAMES)]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    write_photos(tmp_path / "512x384", *NAMES)
    write_lines(tmp_path / "koniq10k_images_scores.csv", *VOTES)
    return tmp_path


def draft_of(root, seed=1, **data):
    return Draft.read(Settings(seed=seed, data={"dataset": "d", "layout": "koniq10k", "root": str(root), **data}))


def split_file(root, *names):
    lines = [f"{name},{names[number % len(names)]}" for number, name in enumerate(NAMES)]
    return write_lines(root / "split.csv", "image_name,split", *lines)


def test_a_published_split_needs_no_photo_opened_and_no_seed(root):
    file = split_file(root, "training", "validation", "test", "test")
    draft = draft_of(root, split_file=file)
    assert not draft.splitting.drawn
    assert draft.inputs == draft_of(root, seed=2, split_file=file).inputs
    draft.assign_splits()
    assert Counter(row.split for row in draft.rows) == {"train": 10, "validation": 10, "test": 20}
    about = schema.metadata(draft.table().schema)
    assert (about["split_source"], about["seed"], about["validation_share"]) == ("file", None, None)
    assert (about["inputs"], about["problems"], about["retry"]) == (draft.inputs, 0, False)


def test_validation_photos_are_cut_from_a_published_split_that_has_none(root):
    file = split_file(root, "train", "test")
    draft = draft_of(root, split_file=file, validation_share=0.1)
    assert draft.splitting.drawn
    assert draft.inputs != draft_of(root, seed=2, split_file=file, validation_share=0.1).inputs
    before = {row.image_id for row in draft.rows if int(row.image_id[-6:-4]) % 2}
    draft.assign_splits()
    assert Counter(row.split for row in draft.rows) == {"train": 18, "validation": 2, "test": 20}
    assert {row.image_id for row in draft.rows if row.split == "test"} == before
    about = schema.metadata(draft.table().schema)
    assert (about["split_source"], about["seed"], about["validation_share"]) == ("file", 1, 0.1)
    whole = split_file(root, "train", "validation", "test", "test")
    assert draft_of(root, split_file=whole, validation_share=0.1).splitting.cut == 0


def test_photos_that_cannot_be_read_are_out_before_splits_are_drawn(root):
    draft = draft_of(root)
    inputs, first, second = draft.inputs, draft.rows[0], draft.rows[1]
    draft.leave_out(
        [
            Problem("missing_photo", "gone", None, first.line, first.image_id),
            Problem("broken_photo", "cut", None, None, second.image_id),
        ]
    )
    assert draft.retry, "a photo that is missing now may be there the next time"
    assert [problem.file for problem in draft.problems] == [draft.listing.file, None]
    draft.assign_splits()
    assert len(draft.rows) == draft.table().num_rows == 38
    assert set(draft.table()["split"].to_pylist()) == {"train", "validation", "test"}
    assert draft.inputs == inputs, "what is made of the same files is the same, whatever the steps found"


def test_a_split_that_is_asked_for_and_not_there_is_told(root):
    with pytest.raises(DataError, match=r"data.split is file, but there is none: set data.split_file"):
        draft_of(root, split="file")
    with pytest.raises(DataError, match=r"koniq10k_images_scores\.csv has no split column"):
        draft_of(root, split="column")
