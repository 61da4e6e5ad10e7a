"""Writes files in the ``.caffemodel`` format, field by field as caffe.proto and the protobuf guide describe it."""

import struct

import numpy as np


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(array, legacy=False, packed=True, packed_dims=True, double=False):
    """BlobProto; a legacy one has four dimensions, filled up with ones from the left."""
    values = np.ascontiguousarray(array, "<f8" if double else "<f4")
    field = 8 if double else 5
    if packed:
        data = message(field, values.tobytes())
    else:
        tag = varint(field << 3 | (1 if double else 5))
        records = np.empty(values.size, [("tag", f"V{len(tag)}"), ("value", values.dtype)])
        records["tag"], records["value"] = np.void(tag), values.ravel()
        data = records.tobytes()
    if legacy:
        dims = (1,) * (4 - values.ndim) + values.shape
        return b"".join(number(i, length) for i, length in enumerate(dims, start=1)) + data
    if packed_dims:
        shape = message(1, b"".join(varint(length) for length in values.shape))
    else:
        shape = b"".join(number(1, length) for length in values.shape)
    # `diff`, which training leaves behind, is there to be stepped over.
    return data + message(6, struct.pack("<f", 1.0)) + message(7, shape)


def caffemodel(layers, v1=False, **blob_options):
    """NetParameter with a data layer that has no weights, then ``layers``: {name: [array, ...]}."""
    out = message(1, b"a net") + number(5, 1)
    for name, arrays in {"data": [], **layers}.items():
        blobs = b"".join(message(6 if v1 else 7, blob(array, **blob_options)) for array in arrays)
        if v1:
            # bottom, top, name, type (an enum), two blobs_lr
            layer = message(2, b"x") + message(3, b"y") + message(4, name.encode()) + number(5, 4) + blobs
            layer += varint(7 << 3 | 5) + struct.pack("<f", 1) + varint(7 << 3 | 5) + struct.pack("<f", 2)
        else:
            layer = message(1, name.encode()) + message(2, b"Convolution") + message(3, b"x") + message(4, b"y") + blobs
        out += message(2 if v1 else 100, layer)
    return out
