"""What a job looks at before it starts: told in seconds, with what to do."""

from dataclasses import replace

import pytest
import ray

from halfiqa_ray import storage
from halfiqa_ray.models.checkpoints import package_versions
from halfiqa_ray.runtime import nodes as preflight
from halfiqa_ray.runtime.nodes import PreflightError, Seen, check_nodes


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "photo.png"
    file.write_bytes(b"photo")
    return str(file)


@pytest.fixture
def as_of_others(monkeypatch):
    """The one node is asked as if it were another machine."""
    monkeypatch.setattr(preflight, "other_nodes", ray.nodes)


def test_nothing_is_left_behind(cluster, as_of_others, tmp_path, photo):
    check_nodes(str(tmp_path / "out"), [photo])
    assert list((tmp_path / "out").iterdir()) == []


def test_an_object_store_is_asked_from_the_node_too(cluster, as_of_others, bucket, photo):
    check_nodes(f"{bucket}/out", [photo])
    assert storage.list_files(bucket, recursive=True) == []
    with pytest.raises(PreflightError, match=r"no-such-bucket.*cannot be written: do the credentials .* allow it"):
        check_nodes("s3://no-such-bucket/out", [])


def test_an_output_that_cannot_be_written(cluster, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PreflightError, match="cannot be written: is the folder writable"):
        check_nodes(str(tmp_path / "file" / "out"))


def test_one_missing_photo_is_no_reason_to_stop_but_all_are(cluster, tmp_path, photo):
    gone = str(tmp_path / "gone.png")
    check_nodes(str(tmp_path / "out"), [gone, gone, photo])
    with pytest.raises(PreflightError, match=r"photos are out of reach: has data.root moved\?.*gone.png"):
        check_nodes(str(tmp_path / "out"), [gone] * 5)
    assert list((tmp_path / "out").iterdir()) == []


def seen(**changes):
    return replace(Seen("10.0.0.7-abc", package_versions(), None, None, None), **changes)


@pytest.mark.parametrize(
    ("output", "found", "message"),
    [
        ("/data/out", seen(reads="FileNotFoundError"), "not all nodes share: node 10.0.0.7-abc .* s3://BUCKET/results"),
        ("s3://b/out", seen(writes="AccessDenied"), r"cannot be written from node 10.0.0.7-abc: do the credentials"),
        ("/data/out", seen(photo="there is no /data/1.png"), "out of reach from node 10.0.0.7-abc: photos must lie"),
    ],
)
def test_what_another_machine_lacks(output, found, message):
    with pytest.raises(PreflightError, match=message):
        preflight._complain([found], output, ["/data/1.png"], alone=False)


def test_nodes_of_other_versions_are_refused():
    here = seen(versions={"python": "3.11.7", "torch": "2.13.0+cpu"})
    preflight._compare(here, [seen(versions={"python": "3.11.7", "torch": "2.13.0+cu130"})])
    other = seen(versions={"python": "3.11.7", "torch": "2.12.0+cu130"})
    with pytest.raises(PreflightError, match=r"node 10.0.0.7-abc has torch 2.12.0 \(here 2.13.0\).*same image"):
        preflight._compare(here, [other])
