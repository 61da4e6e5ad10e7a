"""Amazon S3 for pyarrow, but for reading, which is done by s3fs.

pyarrow's reader asks for an object's size and then for as many bytes, into memory of just that size. Where the answer
is an error ("slow down"), its text does not fit in the memory of a small read: the client then gives up at once, and
says INTERNAL_FAILURE. Where the object was replaced by a shorter one in between, what is missing is whatever was in
memory. (Seen with pyarrow 26.) s3fs takes an answer whole, looks at its length, and asks again when it is cut short.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import fs as pafs

WHOLE_BYTES = 8 << 20  # a file up to this size is read in one request though not all of it may be wanted
READS = 3  # of one answer that was cut short


class S3Files(pafs.FileSystemHandler):
    """The files of ``store`` (an S3FileSystem), read by an s3fs made with ``reading``."""

    def __init__(self, store: pafs.S3FileSystem, reading: dict[str, Any]) -> None:
        self.store, self.reading = store, reading

    def __eq__(self, other: object) -> bool:
        return isinstance(other, S3Files) and self.store == other.store

    def __ne__(self, other: object) -> bool:
        return not self == other

    @cached_property
    def reader(self) -> Any:
        """The client that reads."""
        import s3fs  # takes a while, and most outputs are folders

        reader = s3fs.S3FileSystem(**self.reading, skip_instance_cache=True, use_listings_cache=False)
        reader.retries = READS
        return reader

    def get(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file, or its bytes from ``start`` up to ``end``. Raises FileNotFoundError, or OSError in its words."""
        from aiohttp import ClientError
        from botocore.exceptions import BotoCoreError

        try:
            data: bytes = self.reader.cat_file(path, start=start, end=end, max_concurrency=1)
        except FileNotFoundError:
            raise
        except (OSError, BotoCoreError, ClientError) as error:
            raise OSError(f"{type(error).__name__} while reading: {error}") from error
        return data

    def open_input_file(self, path: str) -> pa.NativeFile:
        """A file to read anywhere."""
        info = self.store.get_file_info(path)
        if info.type != pafs.FileType.File:
            raise FileNotFoundError(path)
        if info.size <= WHOLE_BYTES:
            return pa.BufferReader(self.get(path))
        return pa.PythonFile(Ranges(self, path, info.size), mode="r")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """A file to read from its start, read already: all of it is of one version, whatever its size."""
        return pa.BufferReader(self.get(path))

    # The rest is pyarrow's.

    def get_type_name(self) -> str:
        """Its name among filesystems."""
        return "s3"

    def normalize_path(self, path: str) -> str:
        """A path in the form that is used here."""
        return str(self.store.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        """What is at some paths."""
        return list(self.store.get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        """What is below a folder."""
        return list(self.store.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        """Make a folder."""
        self.store.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        """Delete a folder with all that is below it."""
        self.store.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Delete all that is below a folder."""
        self.store.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        """Refused: it would empty every bucket."""
        raise OSError("the contents of all buckets are not deleted")

    def delete_file(self, path: str) -> None:
        """Delete a file."""
        self.store.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        """Rename a file."""
        self.store.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        """Copy a file."""
        self.store.copy_file(src, dest)

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        """A file to write, which is there when it is closed."""
        return self.store.open_output_stream(path, metadata=metadata)

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        """Refused: S3 has no such thing."""
        return self.store.open_append_stream(path, metadata=metadata)


class Ranges:
    """A large file as Python has files, read in pieces."""

    def __init__(self, files: S3Files, path: str, size: int) -> None:
        self.files, self.path, self.length = files, path, size
        self.place, self.closed = 0, False

    def read(self, count: int = -1) -> bytes:
        """The next bytes, all of them by default."""
        end = self.length if count < 0 else min(self.place + count, self.length)
        if end <= self.place:
            return b""
        data = self.files.get(self.path, self.place, end)
        if len(data) != end - self.place:
            raise OSError(f"{self.path} was replaced by a shorter file while it was read")
        self.place = end
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte, counted from the start, from here (1) or from the end (2)."""
        self.place = offset + {0: 0, 1: self.place, 2: self.length}[whence]
        return self.place

    def tell(self) -> int:
        """Where it is."""
        return self.place

    def size(self) -> int:
        """Bytes in all."""
        return self.length

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Nothing is held."""
        self.closed = True
