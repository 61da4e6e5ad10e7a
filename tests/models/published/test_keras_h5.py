"""Reading .h5: names, and files that must not be trusted."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfiqa_ray.models.published.keras_h5 import numbered, read
from halfiqa_ray.models.published.layout import PublishedError

ENOUGH = 2**20


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened.attrs["layer_names"] = ["a"]
        opened["a/outer/dense_3/kernel:0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        opened["b/b/kernel"] = np.arange(120, dtype=np.float64).reshape(2, 3, 4, 5)
    return tmp_path / "a.h5"


def test_names_and_shapes(file):
    found = read(str(file), ENOUGH)
    assert found.keys() == {"dense_3/kernel", "b/kernel"}
    assert found["dense_3/kernel"].tolist() == [[0, 3], [1, 4], [2, 5]]
    rows, columns, inputs, outputs = 1, 2, 3, 4
    assert found["b/kernel"].shape == (5, 4, 2, 3)
    assert found["b/kernel"][outputs, inputs, rows, columns] == np.ravel_multi_index((1, 2, 3, 4), (2, 3, 4, 5))


def damage(file, kind):
    if kind == "no HDF5":
        file.write_bytes(b"not a file of weights")
        return
    if kind == "cut off":
        file.write_bytes(file.read_bytes()[:-1000])
        return
    with h5py.File(file, "a") as opened:
        if kind == "no layer names":
            del opened.attrs["layer_names"]
        elif kind == "strings":
            opened["c/c/kernel"] = np.array(["x"], dtype=h5py.string_dtype())
        elif kind == "another file's data":
            opened.create_dataset("c/c/kernel", (4,), "f4", external=[("/etc/hostname", 0, 16)])
        elif kind == "a virtual array":
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
            opened.create_virtual_dataset("c/c/kernel", layout)
        elif kind == "much of nothing":
            opened.create_dataset("c/c/kernel", (10**7,), "f4", compression="gzip")
        elif kind == "twice":
            opened["c/dense_3/kernel"] = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no HDF5", "cannot read"),
        ("cut off", "cannot read"),
        ("no layer names", "not a Keras .h5 of the legacy layout"),
        ("strings", "/c/c/kernel is not a plain array of floats inside this file"),
        ("another file's data", "/c/c/kernel is not a plain array of floats inside this file"),
        ("a virtual array", "/c/c/kernel is not a plain array of floats inside this file"),
        ("much of nothing", "unpacks to 40,000,984 bytes, more than the 1,048,576 allowed here"),
        ("twice", "two weights named dense_3/kernel"),
    ],
)
def test_what_cannot_be_trusted_is_refused_by_name(file, kind, message):
    damage(file, kind)
    with pytest.raises(PublishedError, match=message) as caught:
        read(str(file), ENOUGH)
    assert str(file) in str(caught.value)


def test_links_to_other_files_are_not_followed(file, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x/x/kernel"] = np.zeros(3, np.float32)
    with h5py.File(file, "a") as opened:
        opened["c"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
    assert read(str(file), ENOUGH).keys() == {"dense_3/kernel", "b/kernel"}


def test_missing_and_large_files(tmp_path, file):
    with pytest.raises(PublishedError, match=r"cannot read .*nowhere\.h5"):
        read(str(tmp_path / "nowhere.h5"), ENOUGH)
    with pytest.raises(PublishedError, match="more than the 100 allowed here"):
        read(str(file), 100)


@given(st.integers(0, 95), st.permutations(range(14)))
def test_layers_are_ordered_by_number_wherever_it_begins(first, order):
    layers = [f"dense_{first + place}" if first + place else "dense" for place in range(14)]
    names = [f"{layers[place]}/{parameter}" for place in order for parameter in ("bias", "kernel")]
    assert numbered([*names, "dense_of_another_kind/kernel", "conv2d/kernel"], "dense") == layers
