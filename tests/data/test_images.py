"""Reading photographs, good and bad ones."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sharpose.data import images
from sharpose.data.images import read_image
from sharpose.runtime.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)


def test_png_is_read_as_stored(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", (20, 30)), PIXELS)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    Image.fromarray(PIXELS).convert(mode).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert picture.shape == (20, 30, 3) and picture.dtype == np.uint8


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (250, 10, 10)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").mean(axis=(0, 1)) - [250, 10, 10]).max() < 6


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    grey = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", (20, 30)).shape == (20, 30, 3)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    for suffix in ("jpg", "png", "webp", "bmp"):
        path = tmp_path / f"whole.{suffix}"
        Image.fromarray(noise).save(path)
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match=rf"cut\.{suffix}: .*again|cut\.{suffix}: not a"):
            read_image(cut)


@pytest.mark.parametrize("after", [False, True])
def test_long_texts_in_a_png_do_not_matter(tmp_path: Path, after: bool) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    png = (tmp_path / "a.png").read_bytes()
    body = b"zTXt" + b"key\0\0" + zlib.compress(b"x" * 10**8)
    text = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    at = len(png) - 12 if after else 33
    (tmp_path / "a.png").write_bytes(png[:at] + text + png[at:])
    assert np.array_equal(read_image(tmp_path / "a.png", (20, 30)), PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_told_and_applied_where_asked(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    told: list[int] = []
    assert np.array_equal(read_image(tmp_path / "a.png", on_turned=told.append), PIXELS)
    assert told == ([orientation] if orientation > 1 else [])
    views = [PIXELS, PIXELS[:, ::-1], PIXELS[::-1, ::-1], PIXELS[::-1]]
    views += [np.swapaxes(PIXELS[::a, ::b], 0, 1) for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    assert np.array_equal(read_image(tmp_path / "a.png", upright=True), views[orientation - 1])
    if orientation > 4:
        with pytest.raises(InputError, match="store the pictures upright"):
            read_image(tmp_path / "a.png", (30, 20))


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    for path in (tmp_path / "a.jpg", Path("/dev/zero")):
        with pytest.raises(InputError, match="a pipe or a device"):
            read_image(path)


def test_wrong_formats_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("hello")
    with pytest.raises(InputError, match=r"a\.jpg: not a JPEG"):
        read_image(tmp_path / "a.jpg")
    Image.fromarray(PIXELS).save(tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"a\.gif: not a JPEG"):
        read_image(tmp_path / "a.gif")
    with pytest.raises(InputError, match="no such image"):
        read_image(tmp_path / "b.jpg")
    with pytest.raises(InputError, match=str(tmp_path)):
        read_image(tmp_path)


def test_bombs_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"bomb\.png: .*pixels"):
        read_image(tmp_path / "bomb.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 599)
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="shrink"):
        read_image(tmp_path / "a.png")


def test_a_size_that_is_not_the_annotated_one_is_named(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"30x20 pixels, but the annotations say 20x30"):
        read_image(tmp_path / "a.png", (30, 20))
