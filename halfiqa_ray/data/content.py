"""What a file is by its first bytes, in words, where it is not what it was taken for: a photo, or a list of scores."""

from __future__ import annotations

import re
import struct

HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
AVIF_BRANDS = frozenset((b"avif", b"avis"))
GENERIC_BRANDS = frozenset((b"mif1", b"msf1", b"mif2", b"miaf", b"1pic"))  # of both, and of neither
RAW = "a camera's raw file"
HEIF = "HEIC/HEIF"
# https://www.garykessler.net/library/file_sigs.html, and the formats' own specifications.
BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (also MATLAB's .mat from version 7.3)"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB .mat file"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow or Feather file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old (.xls) or encrypted Office file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"(\xb5/\xfd", "a Zstandard archive"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"{\\rtf", "an RTF text"),
    (b"8BPS", "a Photoshop picture"),
    (b"gimp xcf", "a GIMP picture"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"II\xbc", "JPEG XR"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"BPG\xfb", "a BPG picture"),
    (b"\0\0\1\0", "an icon"),
    (b"FUJIFILMCCD-RAW", f"{RAW} (Fujifilm RAF)"),
    (b"IIU\0", f"{RAW} (Panasonic RW2)"),
    (b"IIRO", f"{RAW} (Olympus ORF)"),
    (b"IIRS", f"{RAW} (Olympus ORF)"),
    (b"MMOR", f"{RAW} (Olympus ORF)"),
    (b"FOVb", f"{RAW} (Sigma X3F)"),
    (b"\0MRM", f"{RAW} (Minolta MRW)"),
    (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
)


def what(data: bytes) -> str | None:
    """What ``data`` is, with its article; None for what is none of these (plain text among it)."""
    if (family := iso_media(data)) is not None:
        return family
    if is_pickle(data):
        return "a Python pickle"
    if data[:4] == b"RIFF" and data[8:12] != b"WEBP":
        return "a video or sound (RIFF)"
    for beginning, name in BEGINNINGS:
        if data.startswith(beginning):
            return name
    if data[:4] in (b"II*\0", b"MM\0*") and data[8:10] == b"CR":
        return f"{RAW} (Canon CR2)"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if len(data) < 2048 and b"/annex/objects/" in head:
        return "a git-annex pointer, not the file itself: run `git annex get`"
    if re.match(rb"(outs:|md5:|wdir:)", head) and b"md5:" in head:
        return "a DVC pointer, not the file itself: run `dvc pull`"
    if re.match(rb"(?i)<!doctype html|<html|<head|<body", head):
        return "a web page, as a download that failed leaves it"
    if re.match(rb"(?i)(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg|<svg)", head):
        return "an SVG drawing"
    return "XML" if head.startswith(b"<?xml") else None


def iso_media(data: bytes) -> str | None:
    """What a file of the ISO family (ISO/IEC 14496-12) is, or None; AVIF is None, as it is read.

    The brand alone does not say: `mif1` begins HEIC and AVIF alike. The other brands do, else the codec of its items.
    """
    if data[4:8] != b"ftyp":
        return None
    size = min(max(struct.unpack(">I", data[:4])[0], 16), 4096)
    major, brands = data[8:12], {data[8:12], *(data[place : place + 4] for place in range(16, size, 4))}
    if brands & AVIF_BRANDS and (major in AVIF_BRANDS or not brands & HEIF_BRANDS or b"av01" in data[: 1 << 16]):
        return None
    if brands & HEIF_BRANDS or major in GENERIC_BRANDS:
        return None if b"av01" in data[: 1 << 16] and not brands & HEIF_BRANDS else HEIF
    if major == b"crx ":
        return f"{RAW} (Canon CR3)"
    if major in (b"jp2 ", b"jpx ", b"jpm "):
        return None
    return f"a video or another file of that family (brand {_words(major)})"


def is_pickle(data: bytes) -> bool:
    """Whether this is what Python's pickle writes; it is never opened, as that could run anything."""
    if data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return True
    if not data.rstrip().endswith(b"."):
        return False
    if re.match(rb"[\](}c][^\n]{0,9}q\0", data):  # protocol 1
        return True
    return data[:1] in (b"(", b"c") and re.search(rb"\np\d+\n", data[:4096]) is not None


def _words(brand: bytes) -> str:
    return brand.decode("ascii", "replace").strip() or repr(brand)
