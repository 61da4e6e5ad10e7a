import pyarrow as pa
import pytest

from halfiqa_ray.config import Settings
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
