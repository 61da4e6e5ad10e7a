import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray.config import Settings
from halfiqa_ray.training import feed
from halfiqa_ray.training.photos import feeding

ROWS = pa.table({"mos": [1.0, 2.0, None, 3.0]})  # 3 photos with MOS: 3 x 32 x 64 x 3 bytes


@pytest.mark.parametrize(
    ("feed", "cache_bytes", "said"),
    [
        ("auto", 18432, "kept in memory, all (0.0 GB in all)"),
        ("auto", 18431, "decoded by Ray Data anew in every epoch: they take 0.0 GB, and train.cache_bytes allows"),
        ("memory", 18431, "kept in memory, as many as train.cache_bytes holds"),
        ("ray_data", 18432, "decoded by Ray Data anew in every epoch"),
    ],
)
def test_how_photos_come_is_told(feed, cache_bytes, said):
    settings = Settings(model={"height": 32, "width": 64}, train={"feed": feed, "cache_bytes": cache_bytes})
    assert said in feeding(settings, ROWS)


@pytest.mark.parametrize(("size", "of_a_task"), [(1, 32), (8, 4), (20, 1), (64, 1)])
def test_a_task_of_ray_data_decodes_whole_batches(size, of_a_task):
    batches = np.split(np.arange(size * 70 + 1), np.arange(size, size * 70 + 1, size))  # the last is a rest of one
    tasks = list(feed._tasks(batches))
    assert {len(task) for task in tasks[:-1]} == {of_a_task}
    assert [batch.tolist() for task in tasks for batch in task] == [batch.tolist() for batch in batches]
