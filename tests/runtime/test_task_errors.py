"""Errors of tasks as a person sees them."""

import errno
import os

import pyarrow as pa
import pytest
import ray
import ray.data
from ray.exceptions import RayTaskError

from halfiqa_ray.config import Settings
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.storage.object_store import StorageError

SAID = "s3://b/k: the object store refuses the credentials; set AWS_ACCESS_KEY_ID (status 403)"


class Fails:
    """A stage that raises what a store or a disk raises: as a cause, or as it is."""

    def __init__(self, error: Exception, cause: Exception | None = None):
        self.error, self.cause = error, cause

    def __call__(self, rows: pa.Table) -> pa.Table:
        raise self.error from self.cause


def stream(stage):
    with ray_session(Settings()):
        ray.data.from_arrow(pa.table({"a": [1, 2]})).map_batches(
            stage.__call__, batch_size=None, batch_format="pyarrow"
        ).materialize()


def full_disk():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/part-1.parquet")


@pytest.mark.parametrize(
    ("error", "cause", "kind", "said"),
    [
        (StorageError(SAID), OSError("AWS Error ACCESS_DENIED"), StorageError, SAID),
        (full_disk(), None, OSError, "[Errno 28] No space left on device: '/data/part-1.parquet'"),
    ],
)
def test_a_store_or_disk_that_fails_a_task_is_the_error_of_the_job(cluster, error, cause, kind, said):
    with pytest.raises(OSError) as raised:
        stream(Fails(error, cause))
    assert type(raised.value) is kind
    assert str(raised.value) == said


def test_a_mistake_of_ours_keeps_its_traceback(cluster):
    with pytest.raises(RayTaskError, match="ZeroDivisionError"):
        stream(Fails(ZeroDivisionError("no number")))


def test_a_task_without_ray_data(cluster):
    def task():
        raise StorageError(SAID)

    with pytest.raises(StorageError) as raised, ray_session(Settings()):
        ray.get(ray.remote(task).remote())
    assert str(raised.value) == SAID
