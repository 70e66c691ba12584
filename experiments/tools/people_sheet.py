"""Both versions of the generated people on one sheet with their labels: `python -m experiments.tools.people_sheet`.

Left limbs are green, right ones red, what joins the sides yellow; filled joints are visible, rings are labelled but
hidden.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sharpose.data.mannequin import PARAMETERS
from sharpose.data.mannequin.generate import image_generator
from sharpose.data.mannequin.scene import Scene, make_scene
from sharpose.pose.skeleton import COCO
from sharpose.runtime.files import write_atomically

OUT = Path(__file__).resolve().parents[2] / "results" / "examples" / "people.jpg"
CELL, COLUMNS = 200, 5
# a row of version 1, then three of version 2: the first pictures of the val sets, none picked by hand
SHOWN = ((1, tuple(range(1, 6))), (2, tuple(range(1, 16))))
LEFT, RIGHT, BETWEEN, JOINT, HIDDEN = (60, 200, 80), (230, 70, 60), (240, 210, 60), (255, 255, 255), (255, 0, 255)


def with_labels(scene: Scene) -> np.ndarray:
    """Return the picture (H, W, 3) RGB with everybody's labelled limbs and joints drawn."""
    canvas = scene.image.copy()
    names = COCO.keypoint_names
    for entry in scene.annotations:
        points = np.array(entry["keypoints"]).reshape(-1, 3)
        places = [(round(x), round(y)) for x, y, _ in points]
        for a, b in COCO.limbs:
            if points[a, 2] and points[b, 2]:
                sides = {names[a].partition("_")[0], names[b].partition("_")[0]} - {"nose"}
                colour = LEFT if sides == {"left"} else RIGHT if sides == {"right"} else BETWEEN
                cv2.line(canvas, places[a], places[b], colour, 1, cv2.LINE_AA)
        for place, visible in zip(places, points[:, 2], strict=True):
            if visible:
                seen = visible == 2
                cv2.circle(canvas, place, 2, JOINT if seen else HIDDEN, -1 if seen else 1, cv2.LINE_AA)
    return canvas


def sheet(shown: tuple[tuple[int, tuple[int, ...]], ...] = SHOWN) -> np.ndarray:
    """Return rows of COLUMNS pictures, each shrunk into a square of CELL pixels: (H, W, 3) RGB."""
    cells = []
    for version, numbers in shown:
        parameters = PARAMETERS[version]()
        for number in numbers:
            picture = with_labels(make_scene(image_generator("val", 2, parameters, number), parameters))
            share = CELL / max(picture.shape[:2])
            small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)[:CELL, :CELL]
            below, beside = CELL - small.shape[0], CELL - small.shape[1]
            cells.append(cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    rows = [np.concatenate(cells[at : at + COLUMNS], axis=1) for at in range(0, len(cells), COLUMNS)]
    return np.concatenate(rows, axis=0)


def main() -> None:
    """Write the sheet."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(sheet(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    write_atomically(OUT, lambda path: path.write_bytes(encoded.tobytes()))
    print(OUT)


if __name__ == "__main__":
    main()
