"""Reads the weights out of a ``.caffemodel`` file, without Caffe and without protobuf.

The file is one protobuf message. Of it are read (github.com/BVLC/caffe, src/caffe/proto/caffe.proto; protobuf encoding
guide): NetParameter 2 = V1LayerParameter (4 name, 6 blobs) and 100 = LayerParameter (1 name, 7 blobs), both repeated;
BlobProto 5 = data (float, packed or not), 8 = double_data, 7 = shape (1 = dims, packed or not), and before there was
a shape 1 to 4 = num, channels, height, width. Everything else is stepped over. All arrays are slices of the file, so
that nothing in it can make the reader take more memory than the file's own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
V1_LAYERS, LAYERS = 2, 100
NAME_AND_BLOBS = {V1_LAYERS: (4, 6), LAYERS: (1, 7)}
MAXIMUM_DIMENSIONS = 32  # Caffe's own bound
RUN = 4096  # unpacked values looked at together

Blobs = list[NDArray[np.float32]]


class CaffemodelError(ValueError):
    """A file that is not a readable ``.caffemodel``, or not the model it should be."""


def read_caffemodel(data: bytes) -> dict[str, Blobs]:
    """The blobs of every layer that has some, by layer name, in the file's order: float32 arrays in their stored shape.

    Raises CaffemodelError that says at which byte, or in which layer, the file is damaged.
    """
    layers: dict[str, Blobs] = {}
    for number, _, value in _fields(memoryview(data), 0):
        if number not in NAME_AND_BLOBS:
            continue
        name, blobs = _layer(_message(value, f"field {number}"), *NAME_AND_BLOBS[number])
        if not blobs:
            continue
        if name in layers:
            raise CaffemodelError(f"two layers with weights are named {name!r}")
        layers[name] = blobs
    return layers


@dataclass(frozen=True)
class _Part:
    """A length-delimited value: its bytes, and where in the file they begin."""

    view: memoryview
    start: int


@dataclass
class _Values:
    """The numbers of one repeated field, in the pieces that the file holds them in."""

    pieces: list[NDArray[Any]] = field(default_factory=list)

    def joined(self) -> NDArray[np.float32]:
        return np.concatenate(self.pieces).astype(np.float32) if self.pieces else np.zeros(0, np.float32)


def _fields(view: memoryview, start: int) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of every field of a message that begins at byte ``start`` of the file."""
    at = 0
    while at < len(view):
        tag, after = _varint(view, at, start)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, end = _varint(view, after, start)
            yield number, kind, value
        elif kind == LENGTH:
            length, begin = _varint(view, after, start)
            end = _inside(view, begin + length, start + at)
            yield number, kind, _Part(view[begin:end], start + begin)
        elif kind in (FOUR_BYTES, EIGHT_BYTES):
            width = 4 if kind == FOUR_BYTES else 8
            _inside(view, after + width, start + at)
            values, end = _run(view, at, after, width)
            yield number, kind, values
        else:
            raise CaffemodelError(
                f"byte {start + at}: wire type {kind}, which a .caffemodel never has; not such a file?"
            )
        at = end


def _inside(view: memoryview, end: int, where: int) -> int:
    if end > len(view):
        raise CaffemodelError(f"byte {where}: a field reaches {end - len(view)} bytes beyond its end; truncated file?")
    return end


def _varint(view: memoryview, at: int, start: int) -> tuple[int, int]:
    """A variable-length integer and where it ends."""
    value = 0
    for i in range(10):
        byte = view[_inside(view, at + i + 1, start + at) - 1]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise CaffemodelError(f"byte {start + at}: an integer of more than 10 bytes; not a .caffemodel file?")


def _run(view: memoryview, at: int, after: int, width: int) -> tuple[NDArray[Any], int]:
    """All fixed-width values from ``at`` on that follow each other with the same tag, and where they end.

    Millions of unpacked floats have one tag each: taken one by one they would need minutes.
    """
    tag = bytes(view[at:after])
    step = len(tag) + width
    record = np.dtype([("tag", f"V{len(tag)}"), ("value", f"<f{width}")])
    count = min((len(view) - at) // step, RUN)
    records = np.frombuffer(view[at : at + count * step], record)
    same = records["tag"] == np.void(tag)
    length = count if same.all() else int(same.argmin())
    return records["value"][:length], at + length * step


def _message(value: Any, what: str) -> _Part:
    if not isinstance(value, _Part):
        raise CaffemodelError(f"{what} is a number where a message belongs; not a .caffemodel file?")
    return value


def _layer(part: _Part, name_field: int, blobs_field: int) -> tuple[str, Blobs]:
    name, blobs = "", []
    for number, _, value in _fields(part.view, part.start):
        if number == name_field:
            name = bytes(_message(value, "a layer's name").view).decode("utf-8", "replace")
        elif number == blobs_field:
            blobs.append(_message(value, "a layer's blob"))
    return name, [_blob(blob, name, i) for i, blob in enumerate(blobs)]


def _blob(part: _Part, layer: str, index: int) -> NDArray[np.float32]:
    """One array; the values in the file's order fill the shape row by row."""
    where = f"layer {layer!r}, blob {index}"
    values = {5: _Values(), 8: _Values()}
    legacy: dict[int, int] = {}
    shape: list[int] | None = None
    for number, kind, value in _fields(part.view, part.start):
        if number in values:
            width = 4 if number == 5 else 8
            values[number].pieces.append(_numbers(value, kind, width, where))
        elif number in (1, 2, 3, 4) and kind == VARINT:
            legacy[number] = value
        elif number == 7:
            shape = _dimensions(_message(value, f"{where}: its shape"))
    data = values[5].joined() if values[5].pieces else values[8].joined()
    if shape is None:
        shape = [legacy.get(number, 0) for number in (1, 2, 3, 4)]
    size = 1
    for length in shape:
        size *= length
    if len(shape) > MAXIMUM_DIMENSIONS or size != data.size:
        raise CaffemodelError(f"{where}: its shape {shape[:MAXIMUM_DIMENSIONS]} does not hold its {data.size} values")
    return data.reshape(shape)


def _numbers(value: Any, kind: int, width: int, where: str) -> NDArray[Any]:
    """The values of one packed field, or of one run of unpacked ones."""
    if isinstance(value, np.ndarray) and value.dtype.itemsize == width:
        return value
    if kind != LENGTH or len(value.view) % width:
        raise CaffemodelError(f"{where}: its data are not {width}-byte numbers; not a .caffemodel file?")
    return np.frombuffer(value.view, f"<f{width}")


def _dimensions(part: _Part) -> list[int]:
    lengths: list[int] = []
    for number, kind, value in _fields(part.view, part.start):
        if number != 1:
            continue
        if kind == VARINT:
            lengths.append(value)
        else:
            packed, at = _message(value, "a shape's dims"), 0
            while at < len(packed.view):
                length, at = _varint(packed.view, at, packed.start)
                lengths.append(length)
    return lengths
