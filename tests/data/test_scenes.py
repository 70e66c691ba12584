"""Version 2 of the generated people: as hard as promised, and labels that are right where people cover each other."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sharpose.data.annotations import parse_pose_file
from sharpose.data.cache import NAMED_SETS, MannequinSet
from sharpose.data.describe import describe_people
from sharpose.data.mannequin import PARAMETERS, MannequinParameters, SceneParameters, annotations_path
from sharpose.data.mannequin.figure import LABELS_PER_PERSON
from sharpose.data.mannequin.generate import generate, image_generator
from sharpose.data.mannequin.poses import ARM_MODES_2, LIMITS, LYING, POSTURES
from sharpose.data.mannequin.render import Lens, Viewpoint
from sharpose.data.mannequin.scene import draw_people, set_stage
from sharpose.data.mannequin.skeleton3d import rotation
from sharpose.data.mannequin.stage import Stage
from sharpose.data.mannequin.textures import CLOTHES, FLOORS, SIDE, WALLS, tile
from sharpose.pose.skeleton import COCO, COCO_CATEGORY
from sharpose.runtime.errors import InputError

PARAMETERS_2 = SceneParameters()
# Of images 1 to 6 of split "pinned", seed 7: labels are the same everywhere, pictures under the OpenCV that drew these.
PINNED = {
    1: (
        "ff8b39ec876e5f48ee10d70ea1c7cd2809d902bef78fc3fe8357dfa200dee4a9",
        "29e9d5832406cef3a4a478d54198cf996faf1a32c1da15615462c5477dba7a6b",
    ),
    2: (
        "4334c5df6b90f52bc27bf18d34f044348cd17800eb0bf32ea85ceb1d4b92b036",
        "f1d6be191da9b3a1c96b06ca6babf4009e9f1b3af9bb6c3b10f00dd73f275cab",
    ),
}
DRAWN_BY = "5.0.0"


def stream(number: int, split: str = "val", seed: int = 2) -> np.random.Generator:
    return image_generator(split, seed, PARAMETERS_2, number)


# stage, number in the label image and keypoints (17, 3) of somebody
Seen = tuple[Stage, int, np.ndarray]


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    """Everybody annotated in the first 40 images."""
    found = []
    for number in range(1, 41):
        stage, entries = draw_people(stream(number), PARAMETERS_2)
        for at, entry in enumerate(entries, 1):
            if entry is not None:
                found.append((stage, at, np.array(entry["keypoints"], float).reshape(-1, 3)))
    return found


def test_people_are_as_hard_as_promised() -> None:
    images, rows = [], []
    for number in range(1, 161):
        # what a camera makes of the picture changes no annotation
        stage, entries = draw_people(stream(number), PARAMETERS_2)
        height, width = stage.canvas.image.shape[:2]
        images.append({"id": number, "file_name": f"{number}.jpg", "width": width, "height": height})
        annotations = [entry for entry in entries if entry is not None] + stage.crowd
        rows += [{**entry, "image_id": number, "category_id": 1} for entry in annotations]
    rows = [{**row, "id": at} for at, row in enumerate(rows)]
    content = {"images": images, "annotations": rows, "categories": [COCO_CATEGORY]}
    found = describe_people(parse_pose_file(content, Path("version 2")))
    assert found.people >= 300
    assert 0.7 <= found.frontal <= 0.8
    assert found.tilt_p90 >= 30
    assert found.hidden >= 0.12
    assert found.overlapped >= 0.2
    assert found.large >= 0.35
    assert found.spread >= 0.25


def test_visible_keypoints_lie_on_their_own_person_and_hidden_ones_are_covered(
    seen: list[Seen],
) -> None:
    ahead = []
    for stage, number, points in seen:
        one = stage.people[number - 1]
        for name, (x, y, visible) in zip(COCO.keypoint_names, points, strict=True):
            coverer = int(stage.canvas.labels[round(y), round(x)]) // LABELS_PER_PERSON
            assert visible != 2 or coverer == number
            if visible == 1 and 0 < coverer <= len(stage.people) and coverer != number and name in one.body.joints:
                other = stage.people[coverer - 1]
                nearest = other.camera.view(np.array(list(other.body.joints.values())))[:, 2].max()
                ahead.append(nearest - one.camera.view(one.body.joints[name][None])[0, 2])
    # who covers a joint is nearer to the camera than it, as far as a body's thickness leaves that open
    assert len(ahead) > 30 and min(ahead) > -0.1


def test_left_is_the_persons_own_left_also_from_behind(seen: list[Seen]) -> None:
    upright = {"standing", "wide", "walking", "kicking", "sitting", "kneeling"}
    front, back = [], []
    for stage, number, points in seen:
        pose = stage.people[number - 1].pose
        away = abs((pose.yaw + 180) % 360 - 180)
        if pose.mode in upright and (points[[5, 6], 2] > 0).all() and not 40 < away < 140:
            (front if away <= 40 else back).append((points[5, 0] > points[6, 0], points[0, 2]))
    assert len(front) > 10 and np.mean([right for right, _ in front]) > 0.95
    assert len(back) > 4 and np.mean([right for right, _ in back]) < 0.05
    assert all(nose != 2 for _, nose in back) and np.mean([nose == 2 for _, nose in front]) > 0.6


def test_nobody_is_left_without_a_place_even_close_to_the_camera() -> None:
    parameters = SceneParameters(min_height=800, max_height=800, max_people=1)
    for number in range(20):
        rng = image_generator("near", 0, parameters, number)
        assert len(set_stage(rng, parameters).people) == 1


def test_people_stand_on_the_floor_and_apart(seen: list[Seen]) -> None:
    for stage in {id(stage): stage for stage, *_ in seen}.values():
        footprints = []
        for person in stage.people:
            assert isinstance(person.camera, Viewpoint)
            own = np.concatenate([part.balls for part in person.parts if part.label != 0])
            lowest = (person.camera.in_room(own[:, :3])[:, 1] - own[:, 3] * person.camera.stature).min()
            if person.pose.mode not in ("running", "jumping", *LYING):
                assert lowest == pytest.approx(0.0, abs=1e-9)
            assert -1e-9 <= lowest < 0.8
            footprints.append(person.camera.in_room(np.array(list(person.body.joints.values())))[:, [0, 2]])
        for index, mine in enumerate(footprints):
            for others in footprints[:index]:
                assert np.linalg.norm(mine[:, None] - others[None], axis=-1).min() > 0.2


def test_a_room_has_one_camera_and_its_floor_and_walls_are_seen_through_it() -> None:
    lens = Lens(400.0, (160.0, 120.0), rotation(2, 7.0) @ rotation(0, 12.0), np.array([0.0, 1.5, 0.0]))
    points = np.array([[0.3, 0.0, -4.0], [-1.0, 0.0, -6.0]])
    plane = lens.plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
    laid = np.stack([points[:, 0], points[:, 2], np.ones(2)], axis=1) @ plane.T
    np.testing.assert_allclose(laid[:, :2] / laid[:, 2:], lens.project(points)[0], atol=1e-9)
    # one metre up is shorter in the picture the farther away it is
    spans = [np.linalg.norm(np.diff(lens.project(np.array([foot, foot + np.eye(3)[1]]))[0], axis=0)) for foot in points]
    assert spans[0] > 1.3 * spans[1]
    # somebody who looks at the camera faces it wherever they stand
    viewpoint = Viewpoint(lens, np.eye(3), np.array([2.0, 0.0, -3.0]), 1.7)
    to_camera = np.array([[-2.0, 0.0, 3.0], [2.0, 0.0, -3.0]])
    assert viewpoint.faces(np.zeros((2, 3)), to_camera).tolist() == [True, False]


def test_postures_stay_within_joint_limits_by_their_means() -> None:
    modes = [mode for _, mode in ARM_MODES_2.values()]
    modes += [mode for posture in POSTURES.values() for mode in (*posture.legs, posture.trunk)]
    for mode in modes:
        assert all(LIMITS[name][0] <= mean <= LIMITS[name][1] for name, (mean, _) in mode.items())
    for posture in POSTURES.values():
        assert 1 <= len(posture.legs) <= 2
        assert posture.arms is None or set(posture.arms) <= set(ARM_MODES_2)


@pytest.mark.parametrize("kind", sorted({*CLOTHES, *WALLS, *FLOORS}))
def test_tiles_are_of_their_two_colours(kind: str) -> None:
    found = tile(np.random.default_rng(0), kind, np.array([200.0, 40, 40]), np.array([20.0, 40, 220]), 0.0)
    assert found.shape == (SIDE, SIDE, 3) and found.dtype == np.uint8
    red, blue = found[..., 0].astype(float), found[..., 2].astype(float)
    np.testing.assert_allclose((200 - red) / 180, (blue - 40) / 180, atol=0.02)
    assert (red.std() > 5) == (kind != "plain")


@pytest.mark.parametrize("version", PARAMETERS)
def test_the_same_request_gives_the_same_bytes(version: int, tmp_path: Path) -> None:
    request = {"split": "pinned", "images": 6, "seed": 7, "parameters": PARAMETERS[version]()}
    first = generate(tmp_path / "one", workers=1, **request)  # type: ignore[arg-type]
    second = generate(tmp_path / "two", workers=2, **request)  # type: ignore[arg-type]
    assert first == second and first["version"] == version
    labels, images = PINNED[version]
    assert first["sha256"]["labels"] == labels
    assert cv2.__version__ != DRAWN_BY or first["sha256"]["images"] == images
    assert ("--version 2" in first["command"]) == (version == 2)
    info = json.loads(annotations_path(tmp_path / "one", "pinned").read_text())["info"]
    assert info["version"] == str(version)


def test_versions_lie_in_different_folders() -> None:
    """The folders of version 1 are those it has always had; a version's number is in the name."""
    old, new = MannequinSet("val", 520, 2), MannequinSet("val", 520, 2, SceneParameters())
    assert old.folder.name == "1-a7c178e560d822a5" and NAMED_SETS["mannequin-val"] == old
    assert new.folder.name.startswith("2-") and NAMED_SETS["mannequin2-val"] == new


def test_heights_may_be_larger_than_version_1_allows() -> None:
    assert SceneParameters(max_height=800).max_height == 800
    with pytest.raises(InputError, match=r"max_height=800.0 must be within \[min_height, 400\]"):
        MannequinParameters(max_height=800)
    with pytest.raises(InputError, match=r"min_height=801.0 must be within \[40, 800\]"):
        SceneParameters(min_height=801)
