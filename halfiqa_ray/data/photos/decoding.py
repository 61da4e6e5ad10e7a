"""Photos from bytes to pixels, within bounds, and the same on every machine with the same decoder: Pillow and numpy.

What decoding means here:

- the content decides the format, not the file's name; the formats are ``FORMATS``, and HEIC/HEIF where the package
  pillow-heif is installed (the extra `heif`);
- the number of pixels is checked against the bound before any of them is decoded; then every pixel is decoded at
  full size (no reduced JPEG decoding: its result depends on the photo's size in steps of 1/2, 1/4, 1/8);
- the EXIF orientation is applied, for TIFF that of its own tag, for AVIF and HEIF that of the container; what XMP says
  of it is not (an editor that turned the pixels may have left it there): as browsers show photos;
- of an animation, or of a file of several pages, the first counts; a TIFF whose first page is a thumbnail, and a
  camera's raw file, are refused: what a decoder shows of them is not the photo;
- transparent pixels are laid over white, as a page would show them; 16-bit values keep their high byte (so that 16-bit
  grey and 16-bit RGB agree); CMYK and YCbCr are converted by Pillow's plain formulas, CIELAB by LittleCMS to sRGB;
  embedded colour profiles are not applied; 32-bit integers and floats have no defined range and are refused.
"""

from __future__ import annotations

import importlib.util
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from halfiqa_ray.data import content
from halfiqa_ray.data.photos import tiff

Pixels = NDArray[np.uint8]
Size = tuple[int, int]  # height, width
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
HEIF_IS_READ = importlib.util.find_spec("pillow_heif") is not None
HEIF_SUFFIXES = frozenset((".heic", ".heif", ".hif"))
HEIF_ADVICE = "export it as JPEG" + (
    "" if HEIF_IS_READ else ", or install pillow-heif (pip install 'halfiqa_ray[heif]')"
)
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .tif .tiff .bmp .gif .avif .jp2 .ppm .pgm .pnm".split()  # noqa: SIM905
) | (HEIF_SUFFIXES if HEIF_IS_READ else frozenset())
# Pictures by their extension, of formats that are not read: told of by name, as somebody means them as photos.
OTHER_PICTURES = (
    HEIF_SUFFIXES
    | frozenset(
        ".jxl .jxr .dng .nef .nrw .cr2 .cr3 .crw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f .mrw .3fr .iiq .kdc .dcr "  # noqa: SIM905
        ".erf .rwl .raw .psd .xcf .svg .eps .exr .hdr .bpg .ico .tga .j2k .jpx .pbm .dcm .fits .mat .npy .npz".split()
    )
) - SUFFIXES
ORIENTATION_TAG = 0x0112
# What makes a picture upright, by its EXIF orientation; any other value means that it is.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of pictures that our own bound below allows or is about to refuse, and of damage that raises below.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class ImageError(ValueError):
    """A photo that cannot be used: ``kind`` is a short name (`KINDS`), the text says what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.kind, str(self))


KINDS = {
    "missing_photo": "there is no such photo",
    "unreadable_photo": "the storage did not give the photo's bytes",
    "not_a_file": "it is a pipe, a socket or a device, no file",
    "empty_photo": "the file holds no bytes",
    "not_a_photo": "the content is no picture in a format that is read",
    "broken_photo": "the picture is truncated or damaged",
    "too_many_pixels": "the photo is larger than data.maximum_pixels",
    "unsupported_photo": "the pixel type has no defined meaning as a photo",
    "decoder_out_of_memory": "decoding it takes more memory than data.decode_bytes",
    "decoder_too_slow": "decoding it takes longer than data.decode_seconds",
    "decoder_died": "it kills the process that decodes it",
}


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a photo: its pixels at every one of ``sizes``; None is the photo's own size.

    With ``turned``, a photo higher than wide is turned a quarter to the left first.
    """

    maximum_pixels: int
    sizes: Sequence[Size | None] = (None,)
    turned: bool = False


@dataclass(frozen=True)
class Photo:
    """A decoded photo: its own height and width, and uint8 (H, W, 3) at every size that was wanted, in their order."""

    height: int
    width: int
    pixels: Sequence[Pixels]


def decode_at(data: bytes, wanted: Wanted) -> Photo:
    """Decode one photo and resize it. Raises ImageError as `decode` does."""
    image = _decoded(data, wanted.maximum_pixels)
    width, height = image.size
    if wanted.turned and height > width:
        image = image.transpose(Image.Transpose.ROTATE_90)
    return Photo(height, width, [_pixels_at(image, size) for size in wanted.sizes])


def decode(data: bytes, maximum_pixels: int) -> Pixels:
    """Decode one photo: RGB uint8 (height, width, 3), EXIF orientation applied.

    Raises ImageError when it is empty, unknown, truncated, of more than ``maximum_pixels`` pixels, or of a pixel
    type without a defined range. Its text never depends on anything but the bytes.
    """
    return np.asarray(_decoded(data, maximum_pixels))


def _decoded(data: bytes, maximum_pixels: int) -> Image.Image:
    """As `decode`, but still Pillow's: a photo that is to be resized is not copied out of its memory and in again."""
    if not data:
        raise ImageError("empty_photo", "the file is empty")
    if Image.MAX_IMAGE_PIXELS is not None and maximum_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = maximum_pixels  # Pillow's own bound, for the whole process, must not be the lower one
    formats = _formats(data)
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            width, height = image.size
            if width * height > maximum_pixels:
                raise ImageError(
                    "too_many_pixels",
                    f"{width} x {height} = {width * height:,} pixels, more than the {maximum_pixels:,} allowed "
                    "(data.maximum_pixels)",
                )
            image.info.pop("xmp", None)  # loading a TIFF turns it, by XMP where its own tag is silent
            return _upright(image)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        if formats == ("HEIF",):
            raise ImageError("broken_photo", f"it is {content.HEIF}, and does not decode: {HEIF_ADVICE}") from error
        raise ImageError("not_a_photo", f"not a picture in a format that is read (it begins {data[:8]!r})") from error
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", f"more than the {maximum_pixels:,} pixels allowed") from error
    except Exception as error:  # decoders raise many types on damaged bytes, and none of them is our bug
        raise ImageError("broken_photo", _plain(error)) from error


def _formats(data: bytes) -> tuple[str, ...]:
    """The formats to try. Raises ImageError for what is known not to be a photo, with what to do."""
    found = content.what(data)
    if found == content.HEIF:
        if not HEIF_IS_READ:
            raise ImageError("not_a_photo", f"it is {found}, whatever its name, which is not read: {HEIF_ADVICE}")
        import pillow_heif  # an extra

        pillow_heif.register_heif_opener(thumbnails=False)
        return ("HEIF",)
    if found is not None and found.startswith(content.RAW):
        raise ImageError("unsupported_photo", f"it is {found}: develop it, and export it as JPEG, PNG or TIFF")
    if found is not None:
        advice = "" if "run `" in found else ": export the photo as JPEG, PNG or TIFF"
        raise ImageError("not_a_photo", f"it is {found}, no picture in a format that is read{advice}")
    if (reason := tiff.refusal(data)) is not None:
        raise ImageError("unsupported_photo", reason)
    return FORMATS


def upright_rgb(image: Image.Image) -> Pixels:
    """RGB uint8 (height, width, 3) of an opened image, EXIF orientation applied.

    Raises ImageError for a pixel type without a defined range, and what its decoder raises.
    """
    return np.asarray(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    # Asked for only now: loading a TIFF turns it and takes the tag away.
    turn = TURNS.get(_orientation(image))
    rgb = _to_rgb(image)
    return rgb if turn is None else rgb.transpose(turn)


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """RGB uint8 (H, W, 3) to (height, width, 3): bilinear with the filter widened when shrinking (no aliasing)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return _pixels_at(Image.fromarray(pixels), (height, width))


def _pixels_at(image: Image.Image, size: Size | None) -> Pixels:
    if size is not None and image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        high_byte = (np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if image.mode in ("I", "F"):
        raise ImageError("unsupported_photo", f"its pixels are 32-bit numbers (mode {image.mode}) without a range")
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
        assert converted is not None  # noqa: S101  # as it is not converted in place
        return converted
    if image.has_transparency_data:
        over_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return over_white.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """What EXIF says, and nothing else: Pillow's own `getexif` asks XMP where EXIF is silent."""
    if image.format == "TIFF":
        return 1  # loading it has turned it
    try:
        stored = image.info.get("exif")
        if stored is None and (text := image.info.get("Raw profile type exif")) is not None:  # as ImageMagick writes it
            stored = bytes.fromhex("".join(text.split("\n")[3:]))
        exif = Image.Exif()
        exif.load(stored or b"")
        return int(exif.get(ORIENTATION_TAG, 1))
    except Exception:  # a broken EXIF block does not spoil the picture: viewers show it as it is stored
        return 1


def _plain(error: Exception) -> str:
    """Pillow's words without the object addresses that would make each message unique."""
    words = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "the file", str(error)).strip()
    return words or type(error).__name__
