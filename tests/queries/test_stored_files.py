"""The door to an output: threads that share a file, and what it refuses."""

import threading

import pytest

from halfiqa_ray import storage
from halfiqa_ray.queries.stored_files import StoredFiles, name_of

DATA = bytes(range(256)) * 40


@pytest.fixture
def files(tmp_path):
    storage.write_bytes(str(tmp_path / "rank" / "a.parquet"), DATA)
    return StoredFiles(str(tmp_path))


def test_threads_that_share_a_file_do_not_move_each_other(files):
    file = files.open("stored://rank/a.parquet")
    meet = threading.Barrier(4)
    wrong = []

    def read(start):
        for turn in range(50):
            position = (start * 1000 + turn * 7) % 9000
            file.seek(position)
            meet.wait()  # all have sought before any reads
            if file.read(100) != DATA[position : position + 100] or file.tell() != position + 100:
                wrong.append((start, turn))
            meet.wait()

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_size_and_time_are_those_of_the_file(files, tmp_path):
    about = files.info("stored://rank/a.parquet")
    assert about["size"] == len(DATA)
    written = (tmp_path / "rank" / "a.parquet").stat().st_mtime
    assert files.modified("stored://rank/a.parquet").timestamp() == pytest.approx(written, abs=1e-3)
    with pytest.raises(FileNotFoundError, match=r"rank/b\.parquet"):
        files.info("stored://rank/b.parquet")
    with pytest.raises(FileNotFoundError):
        files.info("stored://rank")  # a folder


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b", "xb"])
def test_nothing_is_opened_for_writing(files, tmp_path, mode):
    for name in ("rank/a.parquet", "rank/new.parquet"):
        with pytest.raises(PermissionError, match="only read"):
            files.open(f"stored://{name}", mode)
    assert [path.name for path in (tmp_path / "rank").iterdir()] == ["a.parquet"]
    assert (tmp_path / "rank" / "a.parquet").read_bytes() == DATA


def test_nothing_is_deleted_moved_or_made(files, tmp_path):
    for refused in (
        lambda: files.rm("rank/a.parquet"),
        lambda: files.mv("rank/a.parquet", "b"),
        lambda: files.touch("rank/c"),
        lambda: files.cp_file("rank/a.parquet", "b"),
    ):
        with pytest.raises((NotImplementedError, PermissionError)):
            refused()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["rank/a.parquet"]


def test_no_name_leaves_the_output(files, tmp_path):
    (tmp_path.parent / "outside.parquet").write_bytes(b"secret")
    for name in ("stored://../outside.parquet", "stored://rank/../../outside.parquet"):
        with pytest.raises(PermissionError, match="leaves"):
            files.open(name)


def test_names_are_those_below_the_output():
    assert name_of("/a/b/rank/x.parquet", "/a/b/") == "stored://rank/x.parquet"
    assert name_of("s3://bucket/out/rank/x.parquet", "s3://bucket/out") == "stored://rank/x.parquet"
