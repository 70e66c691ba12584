"""Patterns of clothes, walls and floors, made from chance alone: square tiles that repeat without a seam."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray
SIDE = 128
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float32)
CLOTHES = {"plain": 30, "stripes": 16, "checks": 10, "plaid": 10, "dots": 8, "blotches": 14, "print": 12}
WALLS = {"plain": 26, "blotches": 20, "stripes": 10, "bricks": 14, "squares": 10, "facade": 12, "dots": 8}
FLOORS = {"blotches": 40, "planks": 22, "squares": 22, "plain": 10, "plaid": 6}


def tile(rng: np.random.Generator, kind: str, colour: Array, other: Array, grain: float) -> Array:
    """Return a tile (SIDE, SIDE, 3) uint8 of a kind in two RGB colours; `grain` is the deviation of fine unevenness."""
    mix = _shares(rng, kind)[:, :, None]
    rough = _smooth(rng, 5)
    fine = rng.standard_normal((SIDE // 2, SIDE // 2), dtype=np.float32)
    uneven = grain * (0.7 * rough + 0.7 * cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST))
    mixed = np.asarray(colour, np.float32) * (1 - mix) + np.asarray(other, np.float32) * mix + uneven[:, :, None]
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _shares(rng: np.random.Generator, kind: str) -> Array:
    """Return how much of the second colour each pixel of a tile has (SIDE, SIDE), 0 to 1."""
    rows, columns = _ROWS, _COLUMNS
    share = np.zeros((SIDE, SIDE), np.float32)
    period = SIDE // int(rng.choice([2, 4, 4, 8, 8, 16]))
    width = period * rng.uniform(0.2, 0.6)
    if kind == "stripes":
        share[(rows if rng.random() < 0.65 else columns) % period < width] = 1
    elif kind == "checks":
        share[((rows % period < period / 2) ^ (columns % period < period / 2))] = 1
    elif kind == "plaid":
        share = 0.5 * ((rows % period < width) + 0.0) + 0.5 * (columns % period < width)
    elif kind == "dots":
        share[np.hypot(rows % period - period / 2, columns % period - period / 2) < 0.6 * width] = 1
    elif kind == "blotches":
        share = np.clip(0.5 + rng.uniform(0.5, 3.0) * _smooth(rng, int(rng.choice([3, 5, 9, 16]))), 0, 1)
    elif kind == "print":
        for _ in range(int(rng.integers(1, 5))):
            centre, axes = rng.integers(30, 98, 2).tolist(), rng.integers(6, 30, 2).tolist()
            cv2.ellipse(share, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.5, 1)), -1)
    elif kind in ("bricks", "planks"):
        tall = SIDE // int(rng.choice([4, 8])) if kind == "bricks" else SIDE // 4
        long = 2 * tall if kind == "bricks" else SIDE
        shift = (rows // tall) % 2 * long / 2
        share = 0.35 * rng.random((SIDE // tall, 1), dtype=np.float32).repeat(tall, axis=0).repeat(SIDE, axis=1)
        share[(rows % tall < 1.5) | ((columns + shift) % long < 1.5)] = 1
    elif kind == "squares":
        share[(rows % max(period, 16) < 2) | (columns % max(period, 16) < 2)] = 1
    elif kind == "facade":
        share[(rows % 64 > 14) & (rows % 64 < 50) & (columns % 32 > 6) & (columns % 32 < 26)] = 1
    return share


def _smooth(rng: np.random.Generator, cells: int) -> Array:
    """Return soft unevenness (SIDE, SIDE) of deviation about 1, mirrored so that it repeats without a seam."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    quarter = cv2.resize(coarse, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_LINEAR)
    return cv2.copyMakeBorder(quarter, 0, SIDE // 2, 0, SIDE // 2, cv2.BORDER_REFLECT)


def smaller(texture: Array) -> list[Array]:
    """Return a tile and its halves, for surfaces that are far away. `texture` is (H, W, 3)."""
    levels = [texture]
    for _ in range(3):
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return levels
