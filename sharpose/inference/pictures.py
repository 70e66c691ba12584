"""Keypoints on pictures of the user's: a JSON file in COCO's results format, and a drawing of every picture.

Rules. A boxes file is a JSON list of objects with `file_name` (a given picture's, with as much of its path as tells it
from the others) or `image_id` (the number in the file's name, as in COCO's), `bbox` [x, y, width, height] in pixels,
and optionally `score` and `category_id`, of which 1 is the person: others are left out and counted. A row that is of no
given picture, or of several, is refused. Without such a file pictures are turned upright by their EXIF orientation;
with one, boxes and keypoints count in stored pixels, as COCO does. A picture that cannot be read, or a box without area
or outside its picture, is left out and listed; the rest is done. Grey, CMYK and 16-bit pictures become RGB as
`sharpose.data.images` says. The results are complete JSON after every picture. Videos: `sharpose.inference.video`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from sharpose.data.annotation_rows import check_unit, is_whole
from sharpose.data.annotations import read_rows
from sharpose.data.fetch import fetch_picture
from sharpose.data.images import read_image
from sharpose.inference.drawing import DRAWN, PLAIN, Style, draw, write_drawing
from sharpose.inference.pipeline import Boxes
from sharpose.inference.pose import Person, Pose
from sharpose.pose.skeleton import known_skeleton
from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import is_number
from sharpose.runtime.files import JsonList, distinct_names
from sharpose.runtime.progress import Heard, unheard

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
PERSON = 1
Source = Path | str | int
"""Of moving pictures: a file, an address, or the number of a camera."""


@dataclass
class Summary:
    """Where the results are, COCO rows, where the drawings are, and what was left out and why."""

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    drawings: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    pictures: int = 0
    empty: list[str] = field(default_factory=list)
    """Pictures or frames in which nobody was found."""
    notes: list[str] = field(default_factory=list)
    """What was left out by a rule, which is no failure."""
    undrawn_people: int = 0
    undrawn_keypoints: int = 0
    """What is in the rows but not in the drawings, as its score is too low."""

    @contextlib.contextmanager
    def results(self) -> Iterator[JsonList]:
        """Open the file of rows; what an earlier run left there is kept under a number, unless it is the same."""
        with JsonList(self.path) as results:
            yield results
        if results.earlier is not None:
            others = (
                f"{self.path}: other results were there; they are kept as {results.earlier.name}, drawings likewise"
            )
            self.notes.append(others)

    def add(
        self, results: JsonList, people: Sequence[Person], name: str, image_id: int, where: str, **facts: Any
    ) -> None:
        """Write and keep the rows of a picture or frame, which `facts` are added to. where: what it is called here."""
        rows = [{**result_row(person, name, image_id), **facts} for person in people]
        results.extend(rows)
        self.rows += rows
        self.pictures += 1
        self.empty += [] if people else [where]

    def count(self, people: Sequence[Person], style: Style) -> None:
        """Note what a drawing leaves out."""
        seen = [style.seen(person) for person in people]
        self.undrawn_people += sum(not one.any() for one in seen)
        self.undrawn_keypoints += sum(int((~one).sum()) for one in seen)


def find_inputs(inputs: Sequence[str | Path]) -> tuple[list[Path], list[Source]]:
    """Return pictures and videos named, and those directly in folders named, in order.

    Numbers are cameras. Pictures at addresses are fetched. Names that begin with a dot are none of a folder's. Raises
    InputError for anything else.
    """
    pictures, videos = list[Path](), list[Source]()
    for given in inputs:
        path, address = Path(given), urlsplit(str(given))
        if len(address.scheme) > 1 and address.netloc:
            if Path(address.path).suffix.lower() in PICTURES:
                pictures.append(fetch_picture(str(given)))
            else:
                videos.append(str(given))
        elif path.is_dir():
            inside = [one for one in sorted(path.iterdir()) if one.suffix.lower() in (*PICTURES, *VIDEOS)]
            inside = [one for one in inside if not (one.name.startswith(".") or one.stem.endswith(Path(DRAWN).stem))]
            inside = [one for one in inside if one.is_file()]
            if not inside:
                raise InputError(f"{path}: holds no picture or video ({', '.join((*PICTURES, *VIDEOS))})")
            pictures += [one for one in inside if one.suffix.lower() in PICTURES]
            videos += [one for one in inside if one.suffix.lower() in VIDEOS]
        elif path.is_file():
            (videos if path.suffix.lower() in VIDEOS else pictures).append(path)
        elif str(given).isdecimal():
            videos.append(int(str(given)))
        else:
            raise InputError(f"{path}: no such picture, video or folder")
    return list(dict.fromkeys(pictures)), list(dict.fromkeys(videos))


def image_ids(pictures: Sequence[Path]) -> list[int]:
    """Return the numbers in the files' names where all have their own, as in COCO; else 1, 2, 3 and so on."""
    return own_ids(pictures) or list(range(1, len(pictures) + 1))


def own_ids(pictures: Sequence[Path]) -> list[int]:
    """Return the numbers in the files' names; none unless all have their own."""
    stems = [picture.stem for picture in pictures]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return [int(stem) for stem in stems]
    return []


def load_boxes(path: Path, pictures: Sequence[Path]) -> tuple[dict[Path, Boxes], str | None]:
    """Return boxes and scores by picture, and what was left out.

    Raises InputError for a row that is malformed, or that is not of exactly one given picture, and for boxes in shares
    of the picture.
    """
    content = read_rows(path, "objects with file_name or image_id, bbox and, optionally, score")
    ids = own_ids(pictures)
    by_id = dict(zip(ids, pictures, strict=True)) if ids else {}
    boxes: dict[Path, Boxes] = {}
    others = 0
    for number, row in enumerate(content):
        where = f"{path}: [{number}]"
        if "file_name" in row:
            picture = named_picture(where, str(row["file_name"]), pictures)
        elif not ids and "image_id" in row:
            raise InputError(f"{where}: the pictures' names are no numbers, so image_id says nothing; give file_name")
        elif is_whole(row.get("image_id")) and int(row["image_id"]) in by_id:
            picture = by_id[int(row["image_id"])]
        else:
            raise InputError(f"{where} is of no given picture; its file_name or image_id must be one's")
        box, score, category = row.get("bbox"), row.get("score", 1.0), row.get("category_id", PERSON)
        values: list[Any] = [*box, score] if isinstance(box, list) and len(box) == 4 else [None]
        if not all(map(is_number, values)):
            raise InputError(f"{where} needs a bbox of four finite numbers, and a number as score")
        if type(category) not in (int, float):
            raise InputError(f"{where}: category_id {category!r} must be a number; {PERSON} is the person")
        if category == PERSON:
            boxes.setdefault(picture, []).append(([float(value) for value in values[:4]], float(score)))
        else:
            others += 1
    check_unit(path, [box for some in boxes.values() for box, _ in some if min(box[2:]) > 0], "people")
    left_out = f"{path}: {others} of {len(content)} boxes are of other categories than {PERSON}, the person"
    return boxes, left_out if others else None


def named_picture(where: str, name: str, pictures: Iterable[Path]) -> Path:
    """Return the one picture whose path ends with a name. Raises InputError where there is none, or several."""
    parts = Path(name).parts
    found = [picture for picture in pictures if parts and picture.parts[-len(parts) :] == parts]
    # a whole path names its picture, even where it is also the end of another's
    found = [picture for picture in found if picture == Path(name)] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{where}: {name} is the name of {len(found)} pictures; give more of the path in file_name")
    raise InputError(f"{where} is of no given picture; its file_name or image_id must be one's")


def predict_pictures(
    pose: Pose,
    pictures: Sequence[Path],
    out: Path,
    *,
    boxes: Path | None = None,
    style: Style = PLAIN,
    drawings: bool = True,
    summary: Summary | None = None,
    progress: Heard = unheard,
) -> Summary:
    """Predict every box of every picture, write `out/keypoints.json` and one drawing per picture.

    Boxes come from a file, or `pose` finds them. `summary` is filled as the work goes, for those who interrupt it.
    Raises InputError where nothing at all could be predicted.
    """
    by_picture, left_out = (None, None) if boxes is None else load_boxes(boxes, pictures)
    summary = summary or Summary(out / "keypoints.json")
    summary.notes += [left_out] if left_out else []
    skeleton, names = known_skeleton(pose.model.config.num_keypoints), distinct_names(pictures)
    repeated = Counter(picture.name for picture in pictures)
    with summary.results() as results:
        for number, (picture, image_id) in enumerate(zip(pictures, image_ids(pictures), strict=True)):
            try:
                pixels = read_image(picture, upright=boxes is None)
            except InputError as error:
                summary.skipped.append(str(error))
            else:
                wanted = pose.boxes(pixels) if by_picture is None else by_picture.get(picture, [])
                usable = keep_usable(wanted, pixels, picture, summary.skipped)
                (people,) = pose.people([(pixels, usable)])
                name = picture.name if repeated[picture.name] == 1 else str(picture)
                summary.add(results, people, name, image_id, where=str(picture))
                if drawings:
                    try:
                        write_drawing(out / f"{names[number]}{DRAWN}", draw(pixels, people, skeleton, style))
                        summary.drawings.append(str(out / f"{names[number]}{DRAWN}"))
                        summary.count(people, style)
                    except InputError as error:
                        summary.skipped.append(str(error))
            progress(number + 1, len(pictures))
    if not summary.pictures:
        raise InputError(f"no picture could be read; the first: {summary.skipped[0]}")
    return summary


def keep_usable(boxes: Boxes, pixels: np.ndarray, picture: Path | str, skipped: list[str]) -> Boxes:
    """Return boxes with area that touch the picture; the others are noted. `pixels` is the picture (H, W, 3)."""
    usable, (height, width) = [], pixels.shape[:2]
    for box, score in boxes:
        x, y, w, h = box
        if w <= 0 or h <= 0:
            skipped.append(f"{picture}: the box {box} has no area")
        elif x >= width or y >= height or x + w <= 0 or y + h <= 0:
            skipped.append(f"{picture}: the box {box} lies outside its {width}x{height} pixels")
        else:
            usable.append((box, score))
    return usable


def result_row(person: Person, name: str, image_id: int) -> dict[str, Any]:
    """Return a row in COCO's results format, with picture, box, predicted quality and whether it was refined."""
    row = {
        "image_id": image_id,
        "category_id": PERSON,
        "keypoints": person.keypoints.ravel().tolist(),
        "score": person.score,
        "file_name": name,
        "bbox": person.box,
        "quality": person.quality,
        "refined": person.refined,
    }
    return row if person.track is None else {**row, "track_id": person.track}
