"""Reading photographs safely.

Rules: JPEG, PNG, BMP and WebP only; at most `MAX_PIXELS` pixels; grey, palette, CMYK and transparent ones become RGB,
16-bit ones are divided by 257. EXIF orientation is NOT applied: COCO annotations count in stored pixels, and turning
the picture would move it away from them.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from sharpose.errors import InputError, first_line

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
MAX_PIXELS = 100_000_000


def read_image(path: Path, size: tuple[int, int] | None = None, *, upright: bool = False) -> UInt8[np.ndarray, "H W 3"]:
    """The picture as RGB. InputError names the file: missing, broken, huge, or not of `size` (height, width).

    upright: turn it as its EXIF orientation says, for pictures that no annotation counts pixels in.
    """
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            # our own, lower cap is checked before any pixel is decoded
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            _check_size(path, (image.height, image.width), size)
            return _to_rgb(ImageOps.exif_transpose(image) if upright else image)
    except FileNotFoundError:
        raise InputError(f"{path}: no such image; check the images folder") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: not a {', '.join(FORMATS)} image; replace the file or convert it") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: more than {MAX_PIXELS:,} pixels; shrink the image") from None
    # a damaged file stumbles over what it claims to hold: pieces of gigabytes, other types, positions outside
    except (OSError, SyntaxError, ValueError, MemoryError, TypeError, LookupError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be decoded ({first_line(error)}); fetch the file again") from None
    except (struct.error, EOFError, zlib.error, NotImplementedError) as error:
        raise InputError(f"{path}: cannot be decoded ({first_line(error)}); fetch the file again") from None


def _check_size(path: Path, found: tuple[int, int], expected: tuple[int, int] | None) -> None:
    if found[0] * found[1] > MAX_PIXELS:
        raise InputError(f"{path}: {found[1]}x{found[0]} pixels, more than {MAX_PIXELS:,}; shrink the image")
    if expected is not None and found != expected:
        raise InputError(
            f"{path}: {found[1]}x{found[0]} pixels, but the annotations say {expected[1]}x{expected[0]}; "
            "use the images the annotations were made for"
        )


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.float64) / 257 + 0.5).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
