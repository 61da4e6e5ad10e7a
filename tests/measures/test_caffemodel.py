"""The wire format, on files that an independent writer made (tests/measures/caffemodel_files.py)."""

import contextlib
import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.measures.caffemodel import CaffemodelError, read_caffemodel
from tests.measures.caffemodel_files import blob, caffemodel, message, number, varint

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@settings(deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=9), st.lists(shapes, min_size=1, max_size=3), max_size=4),
    st.tuples(*[st.booleans()] * 5),
    st.integers(0, 2**32 - 1),
)
def test_reads_what_was_written(layers, forms, seed):
    random = np.random.default_rng(seed)
    written = {
        name: [random.normal(size=s).astype(np.float32) for s in shapes]
        for name, shapes in layers.items()
        if name != "data"
    }
    v1, legacy, packed, packed_dims, double = forms
    data = caffemodel(written, v1=v1, legacy=legacy, packed=packed, packed_dims=packed_dims, double=double)
    read = read_caffemodel(data)
    assert list(read) == list(written)
    for name, arrays in written.items():
        for own, array in zip(read[name], arrays, strict=True):
            assert own.dtype == np.float32
            assert own.shape == ((1,) * (4 - array.ndim) + array.shape if legacy else array.shape)
            assert np.array_equal(own.ravel(), array.ravel())


def test_google_protobuf_agrees():
    """The same message written by Google's library from a description of caffe.proto's fields."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="c.proto", package="c", syntax="proto2")

    def define(name, *fields):
        kind = file.message_type.add(name=name)
        for number_, field, type_, type_name, packed in fields:
            new = kind.field.add(name=field, number=number_, type=type_, type_name=type_name)
            new.label = 1 if field == "name" or type_name == ".c.BlobShape" else 3
            if packed is not None:
                new.options.packed = packed

    define("BlobShape", (1, "dim", 3, None, True))
    define("Blob", (5, "data", 2, None, True), (7, "shape", 11, ".c.BlobShape", None))
    define("Layer", (1, "name", 9, None, None), (7, "blobs", 11, ".c.Blob", None))
    define("Net", (1, "name", 9, None, None), (100, "layer", 11, ".c.Layer", None))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    net = message_factory.GetMessageClass(pool.FindMessageTypeByName("c.Net"))(name="net")
    weights = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    layer = net.layer.add(name="conv1_1")
    made = layer.blobs.add(data=weights.ravel().tolist())
    made.shape.dim.extend(weights.shape)
    read = read_caffemodel(net.SerializeToString())
    assert np.array_equal(read["conv1_1"][0], weights)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_an_error_or_harmless(data):
    good = caffemodel({"conv": [np.ones((2, 3), np.float32), np.ones(3, np.float32)]}, v1=data.draw(st.booleans()))
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(good)))]
    with contextlib.suppress(CaffemodelError):
        read_caffemodel(bytes(damaged))


@pytest.mark.parametrize(
    ("data", "message_"),
    [
        (caffemodel({"conv": [np.ones(8)]})[:-9], r"byte \d+: a field reaches 9 bytes beyond its end; truncated"),
        (b"\xff" * 30, "an integer of more than 10 bytes"),
        (b"\x0b", "wire type 3, which a .caffemodel never has"),
        (number(100, 1), "field 100 is a number where a message belongs"),
        (caffemodel({"a": [np.ones(2)]}) + caffemodel({"a": [np.ones(2)]}), "two layers with weights are named 'a'"),
        (
            message(100, message(1, b"c") + message(7, message(5, b"12345"))),
            "layer 'c', blob 0: its data are not 4-byte numbers",
        ),
        (
            message(100, message(1, b"c") + message(7, message(7, message(1, varint(2**62) * 3)))),
            r"layer 'c', blob 0: its shape \[4611686018427387904, .*\] does not hold its 0 values",
        ),
        (
            message(100, message(1, b"c") + message(7, blob(np.ones(3)) + number(5, 2))),
            "its data are not 4-byte numbers",
        ),
    ],
)
def test_what_is_wrong_and_where(data, message_):
    with pytest.raises(CaffemodelError, match=message_):
        read_caffemodel(data)


def test_millions_of_unpacked_floats_take_seconds():
    values = np.random.default_rng(0).normal(size=3_000_000).astype(np.float32)
    data = caffemodel({"fc": [values]}, packed=False)
    start = time.process_time()
    read = read_caffemodel(data)["fc"][0]
    assert time.process_time() - start < 3
    assert np.array_equal(read, values)


def test_not_such_a_file():
    assert read_caffemodel(b"") == {}
    with pytest.raises(CaffemodelError):
        read_caffemodel(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + bytes(60))
