"""Odd, broken and hostile photos by kind, made with Pillow: what a folder of somebody's photos may hold."""

import io
import os
import pickle
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from halfiqa_ray.data.photos import left_out
from halfiqa_ray.data.photos.decoding import HEIF_IS_READ
from halfiqa_ray.data.photos.images import SUFFIXES
from tests.data.photo_files import jpeg
from tests.data.photos.tiff_files import tiff

ORIENTATION = 0x0112
NAMES = (
    *(
        "new\nline.jpg",
        "tab\tbell\a.jpg",
        "\x1b[31mred.jpg",
        "quote'\"`$(id);&|.jpg",
        "back\\slash.jpg",
        " spaces .jpg",
    ),
    *(
        "-dash.jpg",
        "50%.jpg",
        "a#b?c=d.jpg",
        "dots...jpg",
        "two..jpg",
        "UPPER.JPG",
        "n" * 251 + ".jpg",
        "a=b/dataset=x.jpg",
    ),
    *("é.jpg", "e\u0301.jpg", "写真.jpg", "😀.jpg", "\u202egpj.jpg", "<b>&amp;.jpg", "=1+1.jpg", "CON.jpg", "~.jpg"),
    "s3:.jpg",
)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image as a file of this kind."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def picture(height: int = 48, width: int = 64, seed: int = 0) -> Image.Image:
    """Coloured noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of exactly these rows, which begin with a filter byte each."""
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data


def turned(orientation: int, kind: str = "PNG") -> bytes:
    """`picture` as a camera stores it that was held so: upright again by its EXIF tag."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = picture() if orientation == 1 else picture().transpose(undo[orientation])
    return encoded(stored, kind, exif=exif)


def ycck() -> bytes:
    """A CMYK JPEG that says its channels are YCCK (Adobe's transform 2)."""
    data = encoded(Image.new("CMYK", (16, 16), (30, 60, 90, 10)), "JPEG")
    place = data.index(b"Adobe") + 11
    return data[:place] + b"\x02" + data[place + 1 :]


def animation(kind: str) -> bytes:
    """Three frames, of which the first is red."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def lab() -> bytes:
    """CIELAB, as a scanner's TIFF."""
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return encoded(ImageCms.profileToProfile(picture(), *profiles, outputMode="LAB"), "TIFF")


def iso_box(kind: bytes, body: bytes) -> bytes:
    """A box of the ISO family of files."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def heif(major: bytes, *compatible: bytes) -> bytes:
    """What says that it is HEIC, AVIF or such, and holds nothing that decodes."""
    meta = iso_box(b"meta", bytes(4) + iso_box(b"hdlr", bytes(8) + b"pict" + bytes(13)))
    return iso_box(b"ftyp", major + bytes(4) + b"".join(compatible)) + meta + iso_box(b"mdat", bytes(range(256)) * 20)


# Of the files of `others`: the kind of error, and what its text says.
WORDS = {
    "phone.jpg": ("not_a_photo" if not HEIF_IS_READ else "broken_photo", "HEIC/HEIF"),
    "cr3.jpg": ("unsupported_photo", "Canon CR3"),
    "cr2.jpg": ("unsupported_photo", "Canon CR2"),
    "raf.jpg": ("unsupported_photo", "Fujifilm"),
    "orf.tif": ("unsupported_photo", "Olympus"),
    "nef.tif": ("unsupported_photo", "thumbnail"),
    "dng.tif": ("unsupported_photo", "DNG"),
    "jxl.jpg": ("not_a_photo", "JPEG XL"),
    "bare-jxl.jpg": ("not_a_photo", "JPEG XL"),
    "movie.jpg": ("not_a_photo", "a video"),
    "photoshop.jpg": ("not_a_photo", "Photoshop"),
    "svg.png": ("not_a_photo", "SVG"),
    "page.jpg": ("not_a_photo", "a web page"),
    "lfs.jpg": ("not_a_photo", "git lfs pull"),
    "annex.jpg": ("not_a_photo", "git annex get"),
    "dvc.jpg": ("not_a_photo", "dvc pull"),
    "pickle.jpg": ("not_a_photo", "a Python pickle"),
}


def others() -> dict[str, bytes]:
    """Photos' names on files of other kinds: of cameras, editors, downloads and version control."""
    return {
        "phone.jpg": heif(b"mif1", b"mif1", b"heic"),
        "cr3.jpg": iso_box(b"ftyp", b"crx \0\0\0\1crx isom") + bytes(100),
        "cr2.jpg": b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
        "raf.jpg": b"FUJIFILMCCD-RAW 0201" + bytes(100),
        "orf.tif": b"IIRO\x08\0\0\0" + bytes(100),
        "nef.tif": tiff(subfile=1),
        "dng.tif": tiff(subfile=1, dng=0x0401),
        "jxl.jpg": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100),
        "bare-jxl.jpg": b"\xff\x0a" + bytes(100),
        "movie.jpg": iso_box(b"ftyp", b"isom\0\0\2\0isomiso2") + bytes(100),
        "photoshop.jpg": b"8BPS\0\1" + bytes(100),
        "svg.png": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        "page.jpg": b"<!DOCTYPE html>\n<html>Too many requests</html>",
        "lfs.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "annex.jpg": b"/annex/objects/SHA256E-s12--00.jpg\n",
        "dvc.jpg": b"outs:\n- md5: 00\n  path: a.jpg\n",
        "pickle.jpg": pickle.dumps({"pixels": [0]}),
    }


def xmp(orientation: int) -> bytes:
    """What an editor leaves that turned the pixels, and not the text."""
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        b'tiff:Orientation="%d"/></x:xmpmeta>' % orientation
    )


def with_xmp(kind: str, orientation: int, exif: int | None = None) -> bytes:
    """`picture` as a file whose XMP, and whose EXIF where it has one, say how it was held."""
    options: dict[str, object] = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    text = xmp(orientation)
    if kind == "TIFF":
        return encoded(picture(), kind, tiffinfo={700: text} | ({} if exif is None else {ORIENTATION: exif}))
    if exif is not None:
        tags = Image.Exif()
        tags[ORIENTATION] = exif
        options["exif"] = tags
    if kind != "PNG":
        return encoded(picture(), kind, xmp=text, **options)
    data, body = encoded(picture(), kind, **options), b"XML:com.adobe.xmp" + bytes(5) + text
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    return data[:33] + chunk + data[33:]


def pictures() -> dict[str, dict[str, bytes]]:
    """Files by kind and name; they take seconds to make and to decode, all of them together."""
    grey16 = Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21)
    rgba = picture().convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    palette = picture().quantize(16)
    whole = {
        "jpg": jpeg(1, 90, 120),
        "png": encoded(picture(), "PNG"),
        "webp": encoded(picture(), "WEBP"),
        "gif": encoded(picture(), "GIF"),
        "tif": encoded(picture(), "TIFF", compression="tiff_lzw"),
        "bmp": encoded(picture(), "BMP"),
        "jp2": encoded(picture(), "JPEG2000"),
        "avif": encoded(picture(), "AVIF"),
    }
    cut = {
        f"{kind}-{share:02}.{kind}": data[: max(1, len(data) * share // 100)]
        for kind, data in whole.items()
        for share in (1, 5, 20, 50, 80, 95, 99)
    }
    rng = np.random.default_rng(0)
    damaged = {}
    for kind, data in whole.items():
        for number in range(8):
            noisy = bytearray(data)
            for place in rng.integers(8, len(data), max(1, len(data) // 200)):
                noisy[place] = rng.integers(256)
            damaged[f"{kind}-{number}.{kind}"] = bytes(noisy)
    return {
        "ordinary": {f"whole.{kind}": data for kind, data in whole.items()},
        "EXIF orientations": {f"{n}.{kind.lower()}": turned(n, kind) for n in range(1, 9) for kind in ("PNG", "TIFF")},
        "animations, several pages": {
            "a.gif": animation("GIF"),
            "a.webp": animation("WEBP"),
            "a.png": animation("PNG"),
            "a.tiff": animation("TIFF"),
        },
        "transparency, palettes": {
            "rgba.png": encoded(rgba, "PNG"),
            "la.png": encoded(rgba.convert("LA"), "PNG"),
            "rgba.webp": encoded(rgba, "WEBP", lossless=True),
            "palette.png": encoded(palette, "PNG"),
            "palette-transparent.png": encoded(palette, "PNG", transparency=3),
            "palette.gif": encoded(palette, "GIF", transparency=2),
            "bits.png": encoded(picture().convert("1"), "PNG"),
        },
        "16 bits": {
            "grey.png": encoded(grey16, "PNG"),
            "grey.tif": encoded(grey16, "TIFF"),
            "grey.jp2": encoded(grey16, "JPEG2000"),
            "rgb.png": png(3, 1, 16, 2, b"\0" + bytes(range(18))),
            "rgba.png": png(2, 1, 16, 6, b"\0" + bytes(range(16))),
        },
        "32 bits": {
            "float.tif": encoded(Image.new("F", (8, 8), 0.5), "TIFF"),
            "integer.tif": encoded(Image.new("I", (8, 8), 70_000), "TIFF"),
        },
        "CMYK, YCCK, LAB": {
            "cmyk.jpg": encoded(picture().convert("CMYK"), "JPEG"),
            "cmyk.tif": encoded(picture().convert("CMYK"), "TIFF"),
            "ycck.jpg": ycck(),
            "lab.tif": lab(),
        },
        "1 pixel, long and thin": {
            "1.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
            "1.jpg": encoded(Image.new("RGB", (1, 1)), "JPEG"),
            "1.gif": encoded(Image.new("P", (1, 1)), "GIF"),
            "wide.png": encoded(Image.new("L", (30_000, 1)), "PNG"),
            "high.png": encoded(Image.new("L", (1, 30_000)), "PNG"),
            "wide.jpg": encoded(Image.new("L", (30_000, 8)), "JPEG"),
        },
        "truncated": cut,
        "damaged": damaged,
        "empty, no picture": {
            "empty.jpg": b"",
            "one.jpg": b"\xff",
            "zeros.png": bytes(5000),
            "text.jpg": b"This is not a photo.\n" * 50,
            "page.png": b"<html><body>404 Not Found</body></html>",
            "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
            "archive.png": b"PK\x03\x04" + bytes(100),
        },
        "wrong extension": {
            "png.jpg": whole["png"],
            "jpeg.png": whole["jpg"],
            "tiff.bmp": whole["tif"],
            "webp.gif": whole["webp"],
            "icon.png": encoded(picture(), "ICO"),
            "pdf.jpg": encoded(picture(), "PDF"),
        },
        "not photos by extension": {
            "notes.txt": b"notes",
            "no extension": whole["jpg"],
            "movie.mp4": b"x",
            "a.svg": b"<",
        },
        "hidden": {".hidden.jpg": whole["jpg"], ".thumbnails/x.jpg": whole["jpg"], "a/._mac.jpg": b"\0"},
        "other kinds by a photo's name": others(),
        "orientation in XMP": {
            f"{n}.{kind.lower()}": with_xmp(kind, n) for n in (3, 6) for kind in ("JPEG", "PNG", "WEBP", "TIFF")
        },
        "folders of systems": {
            f"{folder}/{name}": whole["jpg"]
            for folder in (
                "@eaDir",
                "#recycle",
                "$RECYCLE.BIN",
                "lost+found",
                "__MACOSX",
                ".Trash-1000",
                "a/@eaDir/b.jpg",
            )
            for name in ("x.jpg", "y.jpg")
        },
        "what a job wrote": {
            "mine.jpg": whole["jpg"],
            "figures/mine.jpg": whole["jpg"],  # no output: there is no manifest beside it
            "out/manifest/dataset=a/manifest.parquet": b"PAR1",
            "out/figures/halves/x.jpg": whole["jpg"],
            "out/report/x.png": whole["png"],
            "out/mine.jpg": whole["jpg"],
        },
        "odd names": dict.fromkeys(NAMES, whole["jpg"]),
    }


def bombs() -> dict[str, dict[str, bytes]]:
    """Small files of very large pictures, by kind and name; they take longer."""
    return {
        "too large": {
            "900-million.png": encoded(Image.new("1", (30_000, 30_000)), "PNG"),
            "claims.png": png(60_000, 50_000, 8, 2, b""),
            "claims-more.png": png(2**31 - 1, 2**31 - 1, 8, 2, b""),
            "canvas.gif": struct.pack("<6sHHBBB", b"GIF89a", 65535, 65535, 0, 0, 0) + animation("GIF")[13:],
            "text.png": _text_bomb(),
        },
        "bombs within the bound": {"196-million.png": encoded(Image.new("1", (14_000, 14_000)), "PNG")},
    }


def _text_bomb() -> bytes:
    """A small PNG whose comment unpacks to 200 MB."""
    data = encoded(Image.new("RGB", (4, 4)), "PNG")
    body = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return data[:33] + chunk + data[33:]


def special_files(folder: Path, outside: Path) -> dict[str, Callable[[], None]]:
    """What is no ordinary file, by kind: what makes it in ``folder``. What lies ``outside`` must not be read."""
    (outside / "deep").mkdir(parents=True, exist_ok=True)
    for path in (outside / "secret.jpg", outside / "deep" / "secret.jpg"):
        path.write_bytes(jpeg(5))

    def links() -> None:
        place = folder / "symbolic links"
        (place / "real").mkdir(parents=True)
        (place / "real" / "a.jpg").write_bytes(jpeg(6))
        for name, target in (
            ("out.jpg", outside / "secret.jpg"),
            ("out", outside / "deep"),
            ("relative.jpg", Path("../../outside/secret.jpg")),
            ("gone.jpg", place / "nothing.jpg"),
            ("self.jpg", place / "self.jpg"),
            ("one", place / "other"),
            ("other", place / "one"),
            ("inside.jpg", place / "real" / "a.jpg"),
            ("again", place / "real"),
            ("real/up", place),
            ("password.png", Path("/etc/passwd")),
            ("terminal.jpg", Path("/dev/tty")),
        ):
            (place / name).symlink_to(target)

    def pipes() -> None:
        place = folder / "pipes, sockets, devices"
        place.mkdir()
        os.mkfifo(place / "pipe.jpg")
        os.mkfifo(place / "pipe")
        here = Path.cwd()
        os.chdir(place)  # a socket's name may have 108 bytes
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.bind("socket.png")
        finally:
            os.chdir(here)

    def folders() -> None:
        place = folder / "folders named as photos"
        (place / "folder.jpg" / "in.png").mkdir(parents=True)
        (place / "folder.jpg" / "photo.jpg").write_bytes(jpeg(7))

    def forbidden() -> None:
        place = folder / "not to be read"
        (place / "closed").mkdir(parents=True)
        for path in (place / "file.jpg", place / "closed" / "a.jpg"):
            path.write_bytes(jpeg(8))
            path.chmod(0)
        (place / "closed").chmod(0)

    def huge() -> None:
        place = folder / "a terabyte of nothing"
        place.mkdir()
        with (place / "sparse.jpg").open("wb") as file:
            file.truncate(10**12)

    def misnamed() -> None:
        place = folder / "names that are not UTF-8"
        place.mkdir()
        for name in (b"caf\xe9.jpg", b"caf\xe9.txt", b"\xff\xfe.png"):
            Path(os.fsdecode(os.fsencode(place) + b"/" + name)).write_bytes(jpeg(9))

    return {
        "symbolic links": links,
        "pipes, sockets, devices": pipes,
        "folders named as photos": folders,
        "not to be read": forbidden,
        "a terabyte of nothing": huge,
        "names that are not UTF-8": misnamed,
    }


def write_all(folder: Path, outside: Path, kinds: dict[str, dict[str, bytes]]) -> None:
    """Everything below ``folder``, a folder a kind."""
    for kind, files in kinds.items():
        for name, data in files.items():
            path = folder / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for make in special_files(folder, outside).values():
        make()


def is_counted(path: Path, root: Path) -> bool:
    """Whether a file below ``root`` is told of as one of many: hidden, no photo by its extension, or nobody's photo."""
    if any(part.startswith(".") for part in path.parts) or path.suffix.lower() not in SUFFIXES:
        return True
    return in_a_left_out_folder(path, root)


def in_a_left_out_folder(path: Path, root: Path) -> bool:
    """Whether a system or a job made one of the folders that a file lies in."""
    return any(
        left_out.is_system(place.name)
        or (place.name in left_out.OUTPUT_FOLDERS and left_out.is_output(str(root / place.parent)))
        for place in path.parents
    )


def unaccounted(folder: Path, told: set[str]) -> list[str]:
    """The files below ``folder`` that must be in ``told``, by name or by a folder they are in, and are not.

    All but those of `is_counted`, and links to folders, which are followed or told of.
    """
    missing = []
    for place, folders, files in os.walk(folder):
        for name in [*files, *(one for one in folders if (Path(place) / one).is_symlink())]:
            path = (Path(place) / name).relative_to(folder)
            said = {os.fsencode(str(each)).decode(errors="backslashreplace") for each in (path, *path.parents)}
            if not is_counted(path, folder) and not said & told:
                missing.append(str(path))
    return missing
