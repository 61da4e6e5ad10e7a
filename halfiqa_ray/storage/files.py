"""One door to local and object storage: URIs in, bytes, JSON and Arrow tables out.

Credentials, region and ``AWS_ENDPOINT_URL`` come from the environment. What follows the bucket is the object's key as
it is: spaces, ``#``, ``?`` and ``%`` mean themselves and are never encoded. A file either exists whole under its name
or not at all: local writes go to a temporary name and are renamed, object stores make an object visible only when its
upload is complete.

An object store that fails for a moment is asked again by its client; one that cannot be used at all is a
`StorageError`, within seconds where it shows at the first request of a process.
"""

from __future__ import annotations

import errno
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from halfiqa_ray import schema
from halfiqa_ray.config.uris import checked_uri, shown
from halfiqa_ray.storage.object_store import StorageError, explain, open_bucket

REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_remote(uri: str) -> bool:
    """Whether ``uri`` names an object store (``s3://``, ``gs://`` ...) rather than a local path."""
    return REMOTE.match(uri) is not None and not uri.startswith("file://")


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The pyarrow filesystem of a local path or URI, and the path inside it, for a library that wants one.

    Raises as `opened` does.
    """
    with opened(uri) as found:
        return found


@contextmanager
def opened(uri: str) -> Iterator[tuple[pafs.FileSystem, str]]:
    """The pyarrow filesystem of a local path or URI, and the path inside it, for a ``with`` block.

    What the filesystem of an object store raises in the block is a StorageError, but that a file is not there stays a
    FileNotFoundError. Raises StorageError at once when the store does not answer or has no such bucket, and ValueError
    for a scheme that pyarrow does not know, and for what is nearly a URI: it would be a folder of that name.
    """
    try:
        checked_uri(uri)
    except ValueError as error:
        raise ValueError(f"cannot open {shown(uri)}: {error}") from None
    if not is_remote(uri):
        yield pafs.LocalFileSystem(), _local(uri)
        return
    scheme, _, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    try:
        try:
            store, base = open_bucket(scheme, bucket)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"cannot open {uri!r}: {error}") from error
        yield store, f"{base.rstrip('/')}{slash}{key}"
    except (FileNotFoundError, StorageError):
        raise
    except OSError as error:
        raise StorageError(explain(uri, str(error))) from error


def _local(uri: str) -> str:
    try:
        return str(Path(uri.removeprefix("file://")).expanduser().absolute())
    except RuntimeError:  # of a user without a home, or of one that is not there
        raise ValueError(f"{uri}: whose home folder is meant is not known: write out the path") from None


def join(uri: str, *parts: str) -> str:
    """Append path parts to a local path or URI."""
    return "/".join([uri.rstrip("/"), *[part.strip("/") for part in parts]])


def absolute(uri: str) -> str:
    """A form of ``uri`` that means the same in every process of one machine: local paths made absolute."""
    return uri if is_remote(uri) else filesystem(uri)[1]


def exists(uri: str) -> bool:
    """Whether a file or folder is at ``uri``."""
    with opened(uri) as (store, path):
        return store.get_file_info(path).type != pafs.FileType.NotFound


def list_files(uri: str, suffix: str = "", recursive: bool = False, settled: bool = True) -> list[str]:
    """URIs of the files below a folder whose names end in ``suffix``, sorted; [] when there is no such folder.

    Names that start with ``.`` or ``_`` are unfinished or private and left out. Listing takes a while, and a job may be
    merging files meanwhile: it writes the one before it deletes the many. So the folder is listed until nothing has
    gone from it, which no merged file can then be missing from; once only when not ``settled``.
    """
    files = again = _list_once(uri, suffix, recursive)
    while settled and set(files) - set(again := _list_once(uri, suffix, recursive)):
        files = again
    return again


def _list_once(uri: str, suffix: str, recursive: bool) -> list[str]:
    with opened(uri) as (store, path):
        base = uri.rstrip("/")
        infos = store.get_file_info(pafs.FileSelector(path, allow_not_found=True, recursive=recursive))
        found = []
        for info in infos:
            relative = info.path[len(path.rstrip("/")) :].removeprefix("/")  # one: a key may have two
            hidden = any(part.startswith((".", "_")) for part in relative.split("/"))
            if info.type == pafs.FileType.File and relative.endswith(suffix) and not hidden:
                found.append(f"{base}/{relative}")
        return sorted(found)


def read_bytes(uri: str, maximum: int | None = None) -> bytes:
    """The whole content of one file.

    Raises FileNotFoundError or OSError from the filesystem, and ValueError before anything is read when the file
    holds more than ``maximum`` bytes.
    """
    with opened(uri) as (store, path):
        if maximum is not None and (held := store.get_file_info(path).size or 0) > maximum:
            raise ValueError(f"{uri} holds {held:,} bytes, more than the {maximum:,} allowed here")
        with store.open_input_stream(path, compression=None) as file:
            return bytes(file.read())


def write_bytes(uri: str, data: bytes) -> None:
    """Write one file so that readers see the old content, or all of the new, and never a part."""
    with opened(uri) as (store, path):
        if isinstance(store, pafs.LocalFileSystem):
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                with unfinished.open("wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                unfinished.replace(target)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    told = f"{os.strerror(error.errno)}; free some and run the same command again: what is done stays"
                    raise OSError(error.errno, told, path) from None
                raise
            finally:
                unfinished.unlink(missing_ok=True)
            return
        with store.open_output_stream(path) as stream:
            stream.write(data)


def write_text(uri: str, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_bytes(uri, text.encode())


def read_json(uri: str) -> Any:
    """Parse one JSON file. Raises ValueError that names the file when it is not JSON."""
    try:
        return json.loads(read_bytes(uri))
    except ValueError as error:
        raise ValueError(f"{uri} is not valid JSON: {error}") from error


def write_json(uri: str, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    write_text(uri, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def delete(uri: str) -> None:
    """Delete one file; no error when it is already gone."""
    with opened(uri) as (store, path):
        if store.get_file_info(path).type == pafs.FileType.File:
            store.delete_file(path)


def delete_folder(uri: str) -> None:
    """Delete a folder with all that is below it; no error when it is already gone."""
    with opened(uri) as (store, path):
        if store.get_file_info(path).type == pafs.FileType.Directory:
            store.delete_dir(path)


def write_table(uri: str, table: pa.Table, row_group_size: int | None = None) -> None:
    """Write one Parquet file (zstd), whole or not at all; a checksum a page tells a reader of later damage."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=row_group_size, write_page_checksum=True)
    write_bytes(uri, sink.getvalue().to_pybytes())


@contextmanager
def _parquet(uri: str, **options: Any) -> Iterator[pq.ParquetFile]:
    # ParquetFile, not read_table: a folder named key=value above the file must not become a column.
    with opened(uri) as (store, path):
        try:
            with pq.ParquetFile(path, filesystem=store, page_checksum_verification=True, **options) as file:
                yield file
        except (pa.ArrowInvalid, OSError) as error:
            # Damaged pages are an OSError without a number; from a store it cannot be told from the store's own.
            if isinstance(error, OSError) and (error.errno is not None or is_remote(uri)):
                raise
            raise ValueError(f"{uri} is not a readable Parquet file: {error}") from error


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file with its schema metadata. Raises FileNotFoundError, or ValueError naming the file."""
    with _parquet(uri) as file:
        return file.read(columns=columns)


def read_schema(uri: str) -> pa.Schema:
    """Columns and metadata of one Parquet file, read from its footer. Raises as `read_table` does."""
    with _parquet(uri) as file:
        return file.schema_arrow


def iterate_table(uri: str, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Stream one Parquet file in batches of at most ``rows`` rows. Raises as `read_table` does."""
    # Without pre_buffer: it would hold all of a file's chosen columns, which is what streaming is to avoid.
    with _parquet(uri, pre_buffer=False) as file:
        yield from file.iter_batches(rows, columns=columns)


def modified(uri: str) -> float:
    """When a file was last written, in seconds since 1970; 0 where the store does not tell."""
    with opened(uri) as (store, path):
        return (store.get_file_info(path).mtime_ns or 0) / 1e9


def created(files: Sequence[str]) -> float:
    """When the newest of some Parquet files was made: by their metadata, else by when they were written (seconds)."""
    times = []
    for file in files:
        stated = schema.metadata(read_schema(file)).get("created")
        times.append(datetime.fromisoformat(stated).timestamp() if stated else modified(file))
    return max(times)


def size(uri: str) -> int:
    """Bytes of a file; 0 where there is none."""
    with opened(uri) as (store, path):
        return store.get_file_info(path).size or 0
