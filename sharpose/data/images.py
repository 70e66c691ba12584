"""Reading photographs safely.

Rules: files alone, JPEG, PNG, BMP and WebP only; at most `MAX_PIXELS` pixels; grey, palette, CMYK and transparent ones
become RGB, without their transparency; 16-bit grey is divided by 257, 16-bit colours keep their upper 8 bits. EXIF
orientation is NOT applied: COCO annotations count in stored pixels, and turning the picture would move it away from
them; who annotated turned pictures upright must store them upright. Texts and colour profiles in a PNG do not matter.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from sharpose.runtime.errors import InputError, first_line
from sharpose.runtime.files import check_regular

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
MAX_PIXELS = 100_000_000
# a damaged file stumbles over what it claims to hold: pieces of gigabytes, other types, positions outside
BROKEN = (
    *(OSError, SyntaxError, ValueError, MemoryError, TypeError, LookupError, OverflowError),
    *(struct.error, EOFError, zlib.error, NotImplementedError),
)

ORIENTATION = 0x0112
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# pieces of a PNG that hold no pixels and may unpack to any length
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
MAX_PNG_BYTES = 2**30


def read_image(
    path: Path,
    size: tuple[int, int] | None = None,
    *,
    upright: bool = False,
    on_turned: Callable[[int], object] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Return the picture as RGB. Raises InputError for one that cannot be used.

    That is one that is missing, no file, broken, huge, or not of `size` (height, width); the message names it.

    upright: turn it as its EXIF orientation says, for pictures that no annotation counts pixels in. on_turned: is told
    an orientation (2 to 8) that is not applied.
    """
    try:
        check_regular(path, "the picture")
    except InputError as error:
        missing = str(error).endswith(": no such file")
        raise InputError(f"{path}: no such image; check the images folder") if missing else error from None
    try:
        with warnings.catch_warnings(), _opened(path) as image:
            # our own, lower cap is checked before any pixel is decoded
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            _check_size(path, image, size)
            pixels = _to_rgb(ImageOps.exif_transpose(image) if upright else image)
            if on_turned is not None and (turned := _orientation(image)) != 1:
                on_turned(turned)
            return pixels
    except UnidentifiedImageError:
        raise InputError(f"{path}: not a {', '.join(FORMATS)} image; replace the file or convert it") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: more than {MAX_PIXELS:,} pixels; shrink the image") from None
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{path}: cannot be decoded ({first_line(error)}); fetch the file again") from None


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height by the file's header, of a picture that is stored upright. InputError names the file.

    Shares of a picture mean the upright one, so one that EXIF data turn has to be stored so.
    """
    check_regular(path, "the picture")
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            turned, size = _orientation(image), image.size
    # damaged files stumble in many ways
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a picture ({first_line(error)}); fetch the file again") from None
    if turned != 1:
        raise InputError(f"{path}: its EXIF orientation turns it; store the pictures upright")
    return size


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path, formats=FORMATS)
        if image.format == "PNG":
            # texts that stand after the pixels are met here, before anything is decided
            _check_size(path, image, None)
            image.load()
        return image
    except ValueError as error:
        if isinstance(error, InputError) or "MAX_TEXT" not in str(error) or check_regular(path) > MAX_PNG_BYTES:
            raise
    return Image.open(io.BytesIO(_without_texts(path.read_bytes())), formats=("PNG",))


def _without_texts(png: bytes) -> bytes:
    """Return a PNG file without its texts and colour profile."""
    kept, at = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while at + 12 <= len(png):
        # length of the data, kind, data, checksum
        end = at + 12 + int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] not in PNG_TEXTS:
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def _orientation(image: Image.Image) -> int:
    """Return how the EXIF data ask to turn a picture: 1 (not at all) to 8; 1 where they cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    # whatever damaged EXIF data make the reader trip over; the pixels are whole
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _check_size(path: Path, image: Image.Image, expected: tuple[int, int] | None) -> None:
    """Raise InputError for too many pixels, or another size (height, width) than expected."""
    found = image.height, image.width
    if found[0] * found[1] > MAX_PIXELS:
        raise InputError(f"{path}: {found[1]}x{found[0]} pixels, more than {MAX_PIXELS:,}; shrink the image")
    if expected is not None and found != expected:
        stated = f"{path}: {found[1]}x{found[0]} pixels, but the annotations say {expected[1]}x{expected[0]}"
        if found[::-1] == expected and _orientation(image) > 4:
            raise InputError(
                f"{stated}, which it has after the turn that its EXIF orientation asks for; store the pictures upright"
            )
        raise InputError(f"{stated}; use the images the annotations were made for")


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Return a picture as RGB (H, W, 3), uint8."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.float64) / 257 + 0.5).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
