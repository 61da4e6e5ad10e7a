"""TIFFs of several directories, made byte by byte: what cameras and scanners write."""

import struct

import numpy as np

SMALL = np.full((12, 16), 250, np.uint8)
FULL = (np.add.outer(np.arange(480), np.arange(640)) % 251).astype(np.uint8)


def directory(pixels, place, following=0, order="<", **more):
    """A page of grey pixels that lie at ``place``. ``more``: subfile, children (a sub-directory), dng ..."""
    height, width = pixels.shape
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: place, 277: 1, 278: height, 279: pixels.size}
    numbers = {
        "subfile": 254,
        "old_subfile": 255,
        "compression": 259,
        "photometric": 262,
        "children": 330,
        "dng": 50706,
    }
    tags |= {numbers[name]: value for name, value in more.items()}
    body = struct.pack(order + "H", len(tags))
    for tag, value in sorted(tags.items()):
        body += struct.pack(order + "HHII", tag, 4, 1, value)
    return body + struct.pack(order + "I", following)


def tiff(first=SMALL, second=FULL, nested=True, order="<", **more):
    """A TIFF of two pictures, the second in a sub-directory or on the next page; ``more``: tags of the first."""
    one_at, two_at, data_at = 8, 300, 600
    links = {"children": two_at} if nested else {}
    one = directory(first, data_at, 0 if nested else two_at, order, **links, **more)
    two = directory(second, data_at + first.size, 0, order, subfile=0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", one_at)
    data = head + one + bytes(two_at - one_at - len(one)) + two
    return data + bytes(data_at - len(data)) + first.tobytes() + second.tobytes()
