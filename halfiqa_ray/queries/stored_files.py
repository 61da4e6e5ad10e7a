"""The door through which DuckDB reads an output: files below one folder or URI, and nothing can be written."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
from fsspec import AbstractFileSystem

from halfiqa_ray import storage

PROTOCOL = "stored"


def name_of(uri: str, output: str) -> str:
    """The name under which DuckDB knows a file below ``output``."""
    return f"{PROTOCOL}://{uri.removeprefix(output.rstrip('/')).lstrip('/')}"


class StoredFiles(AbstractFileSystem):
    """The files below an output as fsspec serves them, opened through `storage` with its credentials.

    What is not here (writing, deleting, listing) fsspec refuses, and names with ``..`` are refused.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size in bytes and time of the last change. Raises FileNotFoundError."""
        uri = self._uri(path)
        with storage.opened(uri) as (store, place):
            found = store.get_file_info(place)
        if not found.is_file:
            raise FileNotFoundError(uri)
        return {"name": path, "type": "file", "size": found.size, "modified": found.mtime}

    def modified(self, path: str) -> Any:
        """When a file was last changed."""
        return self.info(path)["modified"]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> SharedFile:
        uri = self._uri(path)
        if mode != "rb":
            raise PermissionError(f"{uri}: queries only read")
        with storage.opened(uri) as (store, place):
            return SharedFile(store.open_input_file(place), uri)

    def _uri(self, path: str) -> str:
        name = self._strip_protocol(path)
        if ".." in name.split("/"):
            raise PermissionError(f"{path} leaves the output")
        return storage.join(self.output, name)


class SharedFile:
    """A file that several threads read at a time, each at a position of its own.

    DuckDB's threads share a file, and each seeks before it reads; with one position they would read each other's bytes.
    """

    def __init__(self, file: pa.NativeFile, uri: str) -> None:
        self._file, self._uri, self._mine = file, uri, threading.local()

    def seek(self, position: int) -> int:
        """Go to a byte, counted from the start."""
        self._mine.position = position
        return position

    def tell(self) -> int:
        """Where this thread is."""
        return int(getattr(self._mine, "position", 0))

    def read(self, size: int) -> bytes:
        """The next bytes."""
        with storage.opened(self._uri):
            data: bytes = self._file.read_at(size, self.tell())
        self._mine.position = self.tell() + len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
