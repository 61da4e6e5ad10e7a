import numpy as np
import pytest

from halfiqa_ray.data.alikeness import as_text, summarise
from halfiqa_ray.data.manifest import Row


def distance(part, everything):
    """Kolmogorov-Smirnov by its definition: the largest gap between the two empirical distributions."""
    points = np.sort(np.concatenate([part, everything]))
    return max(abs(np.mean(np.array(part) <= x) - np.mean(np.array(everything) <= x)) for x in points)


def test_summaries_by_hand():
    mos = {"train": [1.0, 2.0, 3.0, 4.0], "test": [4.0, 5.0], None: [2.0]}
    rows = [
        Row(f"{split}{i}", "", mos=value, split=split) for split, part in mos.items() for i, value in enumerate(part)
    ]
    everything = [value for part in mos.values() for value in part]
    train, test, none, total = summarise(rows)
    assert [summary.name for summary in (train, test, none, total)] == ["train", "test", "no split", "all"]
    assert [summary.images for summary in (train, test, none, total)] == [4, 2, 1, 7]
    assert train.mos.mean == 2.5
    assert train.mos.deviation == pytest.approx(np.std(mos["train"], ddof=1))
    assert train.mos.distance == pytest.approx(distance(mos["train"], everything))
    assert test.mos.distance == pytest.approx(distance(mos["test"], everything))
    assert none.mos.deviation is None
    assert total.mos.distance == 0
    assert train.spatial_information.mean is None
    text = as_text([train, test, none, total]).splitlines()
    assert len({len(line) for line in text}) == 1
    assert text[1].split() == ["train", "4", "2.500", "1.291", f"{train.mos.distance:.3f}", "-", "-", "-"]


def test_the_order_of_splits():
    rows = [Row(name, "", split=name) for name in ("test_same_photo", "validation", "test", "train", "extra")]
    names = [summary.name for summary in summarise(rows)]
    assert names == ["train", "validation", "test", "extra", "test_same_photo", "all"]
