"""Files whole or absent, in folders and in a real S3 server over HTTP; and a store that fails."""

import errno
import itertools
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.faulty_proxy import FAULTS, FORBIDDEN, FaultyProxy
from halfiqa_ray import storage
from halfiqa_ray.storage import object_store
from halfiqa_ray.storage.object_store import StorageError

PART = 10 << 20  # bytes that pyarrow uploads at a time
ODD = "aZ9 .,;:!@#$%^&*()[]{}<>+=|~`'\"?\\-_éß写真🙂"


def noise(count, seed=0):
    return np.random.default_rng(seed).bytes(count)


def keys(bucket):
    """What boto3 sees in a bucket: the size of every object, and how many uploads have not been completed."""
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    name = bucket.removeprefix("s3://")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
    found = {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", ())}
    return found, len(client.list_multipart_uploads(Bucket=name).get("Uploads", ()))


@pytest.fixture
def proxied(s3_server, monkeypatch):
    """A function that puts a faulty proxy before the server."""
    open_proxies = []

    def start(**faults):
        proxy = FaultyProxy(s3_server, **faults).__enter__()
        open_proxies.append(proxy)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        return proxy

    yield start
    for proxy in open_proxies:
        proxy.__exit__(None, None, None)


@pytest.fixture(params=["folder", "bucket"])
def place(request):
    """A local folder, and a bucket."""
    return str(request.getfixturevalue("tmp_path")) if request.param == "folder" else request.getfixturevalue("bucket")


@pytest.mark.parametrize("size", [0, 1, PART // 2, PART + 1, 2 * PART + 12345])
def test_files_of_every_size_come_back(place, size):
    data = noise(size)
    storage.write_bytes(f"{place}/a/b", data)
    assert storage.read_bytes(f"{place}/a/b") == data
    storage.write_bytes(f"{place}/a/b", b"shorter")
    assert storage.read_bytes(f"{place}/a/b") == b"shorter"
    storage.delete(f"{place}/a/b")
    storage.delete(f"{place}/a/b")
    assert not storage.exists(f"{place}/a/b")


def test_large_files_are_uploaded_in_parts_and_small_ones_in_one_request(bucket, proxied):
    seen = []
    proxied(choose=lambda request: seen.append((request.method, request.raw_path)))
    storage.write_bytes(f"{bucket}/small", noise(1 << 20))
    assert [method for method, _ in seen] == ["HEAD", "PUT"]  # the first request of this process, then the file
    storage.write_bytes(f"{bucket}/large", noise(2 * PART + 1))
    assert sorted(re.findall(r"partNumber=(\d)", " ".join(path for _, path in seen))) == ["1", "2", "3"]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(ODD, min_size=1, max_size=12).filter(lambda name: name.strip(".") and name[0] not in "._"))
def test_names_mean_themselves(bucket, name):
    uri = f"{bucket}/{name}/{name}.jpg"
    storage.write_text(uri, name)
    assert keys(bucket)[0] == {f"{name}/{name}.jpg": len(name.encode())}
    assert storage.list_files(bucket, ".jpg", recursive=True) == [uri]
    assert storage.list_files(f"{bucket}/{name}") == [uri]
    assert storage.exists(uri)
    assert storage.read_bytes(uri).decode() == name
    storage.delete_folder(f"{bucket}/{name}")
    assert not storage.exists(uri)


@pytest.mark.slow
def test_more_files_than_a_store_lists_at_a_time(bucket):
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    names = [f"many/{number % 7}/{number:04d}" for number in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=bucket[5:], Key=key, Body=b"x"), names))
    assert storage.list_files(f"{bucket}/many", recursive=True) == sorted(f"{bucket}/{name}" for name in names)
    storage.delete_folder(f"{bucket}/many")
    assert storage.list_files(f"{bucket}/many", recursive=True) == []


def test_a_store_that_fails_one_request_in_five_loses_and_changes_nothing(bucket, proxied):
    turn, kinds = itertools.count(), deque(FAULTS)

    def every_kind_in_turn(request):
        if next(turn) % 5:
            return None
        kinds.rotate(-1)
        if kinds[0] == "truncated" and request.method != "GET":
            kinds.rotate(-1)  # only a GET has a body to cut
        return kinds[0]

    proxy = proxied(choose=every_kind_in_turn, seconds=0.2)
    table = pa.table({"image_id": [f"{i}.jpg" for i in range(5000)], "noise": noise(5000 * 8).hex()[:5000]})
    wanted = {f"{i}": noise(10 + 4000 * i, i) for i in range(10)} | {"large": noise(PART + 5)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: storage.write_bytes(f"{bucket}/f/{name}", wanted[name]), wanted))
        storage.write_table(f"{bucket}/t.parquet", table)
        for _ in range(2):
            found = list(pool.map(storage.read_bytes, storage.list_files(f"{bucket}/f")))
            assert found == [wanted[name] for name in sorted(wanted)]
    assert storage.read_table(f"{bucket}/t.parquet").equals(table)
    assert set(proxy.injected) == set(FAULTS)
    assert sorted(keys(bucket)[0]) == sorted([*(f"f/{name}" for name in wanted), "t.parquet"])


@pytest.mark.parametrize(("kind", "size"), [*((kind, 7) for kind in FAULTS), ("truncated", 9 << 20)])
def test_a_failed_read_is_read_again(bucket, proxied, kind, size):
    """Also of a file with fewer bytes than the error has."""
    data = noise(size)
    storage.write_bytes(f"{bucket}/file", data)
    faults = iter([kind])
    proxy = proxied(choose=lambda request: next(faults, None) if request.method == "GET" else None, seconds=0.2)
    assert storage.read_bytes(f"{bucket}/file") == data
    assert proxy.injected == {kind: 1}


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_one_of_both(bucket, proxied, s3_server):
    client = boto3.client("s3", endpoint_url=s3_server)
    for after in (b"{}", b'{"much": "longer than before"}', None):
        storage.write_bytes(f"{bucket}/file", b'{"a": 1}')
        turn = []

        def replace(request, after=after, turn=turn):
            if request.method == "GET" and not turn:
                turn.append(request)
                if after is None:
                    client.delete_object(Bucket=bucket[5:], Key="file")
                else:
                    client.put_object(Bucket=bucket[5:], Key="file", Body=after)

        proxied(choose=replace)
        for maximum in (None, 100):
            if after is None:
                with pytest.raises(FileNotFoundError):
                    storage.read_bytes(f"{bucket}/file", maximum)
            else:
                assert storage.read_bytes(f"{bucket}/file", maximum) == after
        assert turn


def test_parts_of_a_large_file_are_read_without_the_rest(bucket, proxied):
    """As Parquet is: some columns of 10 MB."""
    table = pa.table({"image_id": [str(i) for i in range(2000)], "scores": [noise(5000, i) for i in range(2000)]})
    storage.write_table(f"{bucket}/t.parquet", table, row_group_size=500)
    sent = []
    proxied(choose=lambda request: sent.append(request.headers.get("Range")))
    assert storage.read_table(f"{bucket}/t.parquet", ["image_id"]).equals(table.select(["image_id"]))
    ranges = [list(map(int, each.removeprefix("bytes=").split("-"))) for each in sent if each]
    assert sum(last - first + 1 for first, last in ranges) < 2 << 20
    assert storage.read_schema(f"{bucket}/t.parquet") == table.schema
    batches = storage.iterate_table(f"{bucket}/t.parquet", ["image_id"], 300)
    assert pa.Table.from_batches(batches).equals(table.select(["image_id"]))


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_writer_killed_in_the_middle_of_an_upload_leaves_what_was_there(bucket, proxied, before):
    proxy = proxied(choose=lambda request: "late" if "partNumber=2" in request.raw_path else None, seconds=60)
    if before:
        storage.write_bytes(f"{bucket}/file", before)
    script = f"from halfiqa_ray import storage; storage.write_bytes({f'{bucket}/file'!r}, bytes({3 * PART}))"
    writer = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while not proxy.injected["late"] and time.monotonic() < deadline:
        time.sleep(0.02)
    writer.kill()
    writer.wait()
    assert proxy.injected["late"]
    objects, unfinished = keys(bucket)
    assert objects == ({"file": 3} if before else {})
    assert unfinished == 1
    assert storage.list_files(bucket) == ([f"{bucket}/file"] if before else [])
    if before:
        assert storage.read_bytes(f"{bucket}/file") == before


def test_an_upload_that_fails_for_good_leaves_nothing(bucket, proxied, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    proxied(choose=lambda request: "slow_down" if "partNumber=2" in request.raw_path else None)
    with pytest.raises(StorageError, match=r"/file: .* failed every attempt .* AWS_MAX_ATTEMPTS"):
        storage.write_bytes(f"{bucket}/file", bytes(2 * PART))
    assert keys(bucket)[0] == {}
    assert not storage.exists(f"{bucket}/file")


def test_what_cannot_work_is_said_in_seconds(bucket, proxied, monkeypatch):
    """In words that say which store, what is wrong and what to set."""

    def said(uri, within):
        start = time.monotonic()
        with pytest.raises(StorageError) as raised:
            storage.list_files(uri)
        assert time.monotonic() - start < within
        assert str(raised.value).startswith(f"{uri}: ")
        return str(raised.value)

    missing = said("s3://no-such-bucket-0/photos", 10)
    assert "has no bucket 'no-such-bucket-0'; create it, or correct the name or AWS_ENDPOINT_URL" in missing
    proxy = proxied(choose=lambda request: FORBIDDEN)
    refused = said(f"{bucket}/photos", 10)
    with pytest.raises(StorageError) as reading:
        storage.read_bytes(f"{bucket}/photo.jpg")
    for told in (refused, str(reading.value)):
        assert f"at {proxy.url} refuses the credentials" in told
    assert "AWS_SECRET_ACCESS_KEY" in refused
    with socket.socket() as nothing:
        nothing.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nothing.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        unreachable = said(f"{bucket}/photos", 10)
    assert f"{url} does not answer; look at the network and the server or AWS_ENDPOINT_URL" in unreachable
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "many")
    with pytest.raises(ValueError, match="AWS_MAX_ATTEMPTS is 'many'"):
        storage.list_files(bucket)


@pytest.mark.slow
def test_a_server_that_is_silent_is_said_within_half_a_minute(monkeypatch):
    """It takes connections and never answers: 2 attempts of 10 s each."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(StorageError, match="does not answer"):
            storage.exists("s3://bucket/photos")
        assert time.monotonic() - start < 30


def test_what_is_missing_in_a_bucket_stays_a_missing_file(bucket):
    assert not storage.exists(f"{bucket}/nothing")
    for read in (storage.read_bytes, storage.read_table, storage.read_schema):
        with pytest.raises(FileNotFoundError):
            read(f"{bucket}/nothing")


def test_a_rarely_failing_store_is_asked_often_enough():
    """One request in 20 fails; a job makes ten million of them."""
    assert 0.05**object_store.ATTEMPTS * 1e7 < 1


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_full_disk_leaves_what_was_there(place, monkeypatch):
    storage.write_bytes(f"{place}/file", b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        storage.write_bytes(f"{place}/file", b"new")
    assert storage.read_bytes(f"{place}/file") == b"old"
    assert [path.name for path in Path(place).iterdir()] == ["file"]


def test_a_damaged_table_is_never_read_as_other_rows(tmp_path):
    """Any one byte changed, or the end cut off: an error that names the file."""
    table = pa.table({"image_id": [str(i) for i in range(3000)], "score": np.arange(3000.0)})
    uri = str(tmp_path / "damaged.parquet")
    storage.write_table(uri, table)
    whole, seen = storage.read_bytes(uri), Counter()
    for place in np.random.default_rng(0).integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(place % 8)
        for damaged in (bytes(changed), whole[:place]):
            storage.write_bytes(uri, damaged)
            try:
                seen["same" if storage.read_table(uri).equals(table) else "other"] += 1
            except ValueError as error:
                seen["refused" if uri in str(error) else "refused without a name"] += 1
    assert seen["refused"] + seen["same"] == seen.total()
    assert seen["refused"] > 100
