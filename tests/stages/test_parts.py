"""Part files, resume and compaction."""

import threading

import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.stages import parts
from halfiqa_ray.stages.outputs import zeroed_output
from halfiqa_ray.stages.parts import Output, WriteParts, compact, finished_ids, settle_errors

COLUMNS = schema.with_metadata(pa.schema([pa.field("image_id", pa.string(), nullable=False)]), {"run_key": "k"})


def rows(*ids, failed=()):
    everything = [*ids, *failed]
    return pa.table(
        {
            "image_id": everything,
            "uri": [f"/photos/{i}" for i in everything],
            "error": pa.array([None] * len(ids) + ["broken"] * len(failed), pa.string()),
            "message": pa.array([None] * len(ids) + ["it is broken"] * len(failed), pa.string()),
        }
    )


@pytest.fixture
def write(tmp_path):
    return WriteParts((Output(str(tmp_path / "rank"), COLUMNS),), str(tmp_path / "errors"), schema.ERRORS)


def all_ids(folder):
    return sorted(
        i for f in storage.list_files(folder, ".parquet") for i in storage.read_table(f)["image_id"].to_pylist()
    )


def test_good_and_failed_rows_part(write):
    told = write(rows("a", "b", failed=["c"]))
    assert told.to_pylist() == [{"written": 2, "failed": 1}]
    assert all_ids(write.outputs[0].folder) == ["a", "b"]
    assert all_ids(write.errors) == ["c"]
    assert schema.metadata(storage.read_table(storage.list_files(write.outputs[0].folder)[0]).schema) == {
        "run_key": "k"
    }


def test_the_same_rows_again_replace_their_file(write):
    write(rows("a", "b"))
    write(rows("b", "a"))
    assert all_ids(write.outputs[0].folder) == ["a", "b"]


def test_compaction_keeps_every_row_once_and_can_be_repeated(write):
    for i in range(0, 40, 2):
        write(rows(f"{i:02}", f"{i + 1:02}"))
    expected = [f"{i:02}" for i in range(40)]
    assert compact(write.outputs[0].folder) == 1
    assert all_ids(write.outputs[0].folder) == expected
    write(rows("40"))
    assert compact(write.outputs[0].folder) == 1
    assert all_ids(write.outputs[0].folder) == [*expected, "40"]
    assert compact(write.outputs[0].folder) == 1


def test_an_interrupted_compaction_is_mended(write, monkeypatch):
    """Stopped after the new file was written and before the parts went: rows stand twice until the next run."""
    for name in "abc":
        write(rows(name))
    with monkeypatch.context() as stopped:
        stopped.setattr(parts.storage, "delete", lambda uri: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            compact(write.outputs[0].folder)
    assert all_ids(write.outputs[0].folder) == ["a", "a", "b", "b", "c", "c"]
    assert finished_ids(write.outputs[0].folder) == {"a", "b", "c"}
    compact(write.outputs[0].folder)
    assert all_ids(write.outputs[0].folder) == ["a", "b", "c"]


def test_large_files_are_left_alone(write):
    write(rows(*[f"{i:05}" for i in range(2000)]))
    compact(write.outputs[0].folder, large=1000)
    [first] = storage.list_files(write.outputs[0].folder)
    write(rows("x"))
    assert compact(write.outputs[0].folder, large=1000) == 2
    assert first in storage.list_files(write.outputs[0].folder)
    assert len(all_ids(write.outputs[0].folder)) == 2001


def test_an_error_that_was_mended_is_forgotten(write):
    write(rows("a", failed=["b", "c"]))
    assert settle_errors(write.errors, {"a"})["image_id"].to_pylist() == ["b", "c"]
    write(rows("b", failed=["c"]))
    assert settle_errors(write.errors, {"a", "b"})["image_id"].to_pylist() == ["c"]
    assert all_ids(write.errors) == ["c"]
    write(rows("c"))
    assert settle_errors(write.errors, {"a", "b", "c"}).num_rows == 0
    assert storage.list_files(write.errors) == []


def test_unfinished_files_are_not_read(write, tmp_path):
    write(rows("a"))
    (tmp_path / "rank" / ".part-0.parquet.123").write_bytes(b"PAR1 half a file")
    assert finished_ids(write.outputs[0].folder) == {"a"}


LONG = schema.with_metadata(schema.measures(2), {"run_key": "k"})
KEY = ("image_id", "measure")


def long_rows(ids, measures=("m1", "m2")):
    """Several rows an image, as in measures/ and zeroed/."""
    rows = [(i, measure) for i in ids for measure in measures]
    table = {
        "image_id": [i for i, _ in rows],
        "split": ["test"] * len(rows),
        "source_photo": [None] * len(rows),
        "measure": [measure for _, measure in rows],
        "block_means": [[0.0, 1.0]] * len(rows),
        "high_blocks": [2] * len(rows),
        "tied": [False] * len(rows),
    }
    return pa.table(table, schema=LONG)


def keys(folder):
    found = [storage.read_table(file).to_pylist() for file in storage.list_files(folder, ".parquet")]
    return sorted((row["image_id"], row["measure"]) for rows in found for row in rows)


@pytest.fixture
def write_long(tmp_path):
    def write(ids, measures=("m1", "m2")):
        output = Output(str(tmp_path / "long"), LONG, KEY, rows=lambda rows: long_rows(ids, measures))
        return WriteParts((output,), str(tmp_path / "errors"), schema.ERRORS)(rows(*ids))

    return write


def test_later_rows_of_the_same_images_do_not_replace_the_first(write_long, tmp_path):
    write_long("ab")
    write_long("ab", ["m3"])
    expected = sorted((i, m) for i in "ab" for m in ("m1", "m2", "m3"))
    assert keys(str(tmp_path / "long")) == expected
    assert compact(str(tmp_path / "long"), key=KEY) == 1
    assert keys(str(tmp_path / "long")) == expected


def test_several_rows_an_image_survive_an_interrupted_compaction(write_long, tmp_path, monkeypatch):
    folder = str(tmp_path / "long")
    for ids in ("ab", "cd"):
        write_long(ids)
    with monkeypatch.context() as stopped:
        stopped.setattr(parts.storage, "delete", lambda uri: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            compact(folder, key=KEY)
    assert len(keys(folder)) == 16
    write_long("ab", ["m3"])
    compact(folder, key=KEY)
    assert keys(folder) == sorted([(i, m) for i in "abcd" for m in ("m1", "m2")] + [(i, "m3") for i in "ab"])


def test_a_kill_between_two_files_leaves_the_image_in_the_first_only(tmp_path, monkeypatch):
    """The second output's write never happened; the same part again completes it and doubles nothing."""
    first, second = (Output(str(tmp_path / name), COLUMNS) for name in ("first", "second"))
    write = WriteParts((first, second), str(tmp_path / "errors"), schema.ERRORS)
    original = storage.write_table

    def dies(uri, *args):
        if "second" in uri:
            raise KeyboardInterrupt
        original(uri, *args)

    with monkeypatch.context() as stopped:
        stopped.setattr(parts.storage, "write_table", dies)
        with pytest.raises(KeyboardInterrupt):
            write(rows("a", "b"))
    assert (all_ids(first.folder), all_ids(second.folder)) == (["a", "b"], [])
    write(rows("a", "b"))
    assert all_ids(first.folder) == all_ids(second.folder) == ["a", "b"]


def test_a_reader_sees_every_row_while_a_run_compacts(write, monkeypatch):
    """The listing of a folder is no moment in time: here it sees half of it before a compaction."""
    for name in "abcdef":
        write(rows(name))
    folder = write.outputs[0].folder
    at_once = storage.files._list_once
    torn = []

    def in_halves(*arguments):
        first = at_once(*arguments)
        if not torn and threading.current_thread() is threading.main_thread():
            torn.append(first)
            compaction = threading.Thread(target=compact, args=[folder])
            compaction.start()
            compaction.join()
            return first[:3]  # and of the second half, which the compaction deleted, nothing
        return first

    monkeypatch.setattr(storage.files, "_list_once", in_halves)
    files = storage.list_files(folder, ".parquet")
    assert len(files) == 1
    assert sorted(storage.read_table(files[0])["image_id"].to_pylist()) == list("abcdef")


def test_readers_and_a_compaction_at_once(write):
    names = [f"{i:03}" for i in range(150)]
    for name in names:
        write(rows(name))
    folder, done = write.outputs[0].folder, threading.Event()

    def work():
        compact(folder)
        done.set()

    compaction = threading.Thread(target=work)
    compaction.start()
    whole = 0
    while not done.is_set() or whole == 0:
        try:
            assert set(all_ids(folder)) == set(names)
            whole += 1
        except FileNotFoundError:  # said aloud; nothing is missing in silence
            continue
    compaction.join()
    assert all_ids(folder) == names


def test_compacted_rows_are_in_order_whatever_part_came_first(write):
    for name in "cab":
        write(rows(name))
    folder = write.outputs[0].folder
    assert compact(folder) == 1
    assert storage.read_table(storage.list_files(folder)[0])["image_id"].to_pylist() == ["a", "b", "c"]


def test_zeroed_rows_of_before_there_were_fills_are_compacted_with_todays(tmp_path):
    """The old ones are those of zero; a row of both counts once."""
    output = zeroed_output(str(tmp_path), 0, {"run_key": "k"})

    def write(name, rankings, fill=None):
        rows = [
            {"image_id": i, "ranking": r, "zeroed_half": "important" if r else "none", "zeroed_blocks": 7, "score": 2.5}
            | {"fill": (fill or "zero") if r else "none"}
            for i in "ab"
            for r in rankings
        ]
        table = pa.Table.from_pylist(rows, schema=output.columns)
        if fill is None:
            old = schema.with_metadata(table.schema, {"run_key": "k"})
            table = table.cast(old).drop_columns(["fill"])
        storage.write_table(str(tmp_path / f"{name}.parquet"), table)

    write("data-old", [None, "level_plcc"])
    write("part-new", ["level_plcc"], "blur")
    write("part-again", ["level_plcc"], "zero")
    assert compact(output.folder, key=output.key, brought=output.brought) == 1
    [file] = storage.list_files(output.folder, ".parquet")
    found = storage.read_table(file)
    assert found.schema.equals(schema.ZEROED)
    assert schema.metadata(found.schema) == {"run_key": "k", "schema_version": 2}
    there = [(row["image_id"], row["ranking"], row["fill"]) for row in found.to_pylist()]
    each = [(None, "none"), ("level_plcc", "blur"), ("level_plcc", "zero")]
    assert sorted(there, key=str) == sorted(((i, *one) for i in "ab" for one in each), key=str)
    write("part-large", ["level_plcc"], "black")
    assert compact(output.folder, large=4, key=output.key, brought=output.brought) >= 1
    assert sum(storage.read_table(f).num_rows for f in storage.list_files(output.folder, ".parquet")) == 8
    # A large old file stays as it is: its rows are known by their fill all the same.
    storage.delete_folder(str(tmp_path))
    write("data-old", [None, "level_plcc"])
    write("part-again", ["level_plcc"], "zero")
    compact(output.folder, large=4, key=output.key, brought=output.brought)
    assert sum(storage.read_table(f).num_rows for f in storage.list_files(output.folder, ".parquet")) == 4
