"""A data set by name, in `tiers.yaml` or in a spec of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sharpose.data.cache import MannequinSet, named_set
from sharpose.data.photos import PHOTO_SETS
from sharpose.runtime.errors import nearest


class Strict(BaseModel):
    """What a YAML file may say: nothing but known keys, and finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSet(Strict):
    """A data set by name: generated people, or files inside a folder that --coco or SHARPOSE_<FOLDER> names.

    `mannequin` is a named set of `sharpose.data.cache`, or its `first_images`. `training` names what models learn from.
    `photos` names photographs of `sharpose.data.photos`, which says where their files are; sets of several sources are
    for training. `ground_truth` is MPII's file with head boxes; people in its layout are scored by PCKh.
    With `annotations_sha256` (of every source), what was measured elsewhere is found without the files.
    With `withheld` a generated set is judged as a test split is: from a submission that was made without annotations.
    `unavailable` says why accuracy on a set cannot be measured anywhere.
    """

    mannequin: str | None = None
    first_images: int | None = Field(None, ge=1)
    layout: Literal["coco", "mpii"] = Field("coco", description="of generated people's annotations")
    photos: str | None = None
    folder: str = Field("coco", pattern="^[a-z][a-z0-9_]*$")
    annotations: str | None = None
    annotations_sha256: str | list[str] | None = Field(None, description="of files that the repository cannot hold")
    images: str | None = None
    detections: str | None = None
    ground_truth: str | None = None
    withheld: bool = False
    by_name: Literal["coco", "mpii"] | None = Field(None, description="the layout onto which keypoints are matched")
    training: str | None = None
    unavailable: str | None = None

    @model_validator(mode="before")
    @classmethod
    def files_of_photos(cls, values: Any) -> Any:
        """Turn a set of one source into files inside the folder that its paths begin with.

        Raises ValueError for an unknown name.
        """
        name = values.get("photos") if isinstance(values, dict) else None
        if name is None:
            return values
        if name not in PHOTO_SETS:
            raise ValueError(f"no set of photographs is called {name!r}{nearest(str(name), PHOTO_SETS)}")
        if len(PHOTO_SETS[name]) > 1:
            return values
        annotations, images = (
            path.partition("/") for path in (PHOTO_SETS[name][0].annotations, PHOTO_SETS[name][0].images)
        )
        return {"folder": annotations[0], "annotations": annotations[2], "images": images[2], **values}

    @model_validator(mode="after")
    def one_source(self) -> DataSet:
        """Check that a set comes from one place: generated, files or photographs, or is said to be unavailable.

        Raises ValueError where it names none or several.
        """
        on_disk = (self.annotations is not None and self.images is not None) or len(self.sources) > 1
        if on_disk + (self.mannequin is not None) + (self.unavailable is not None) != 1:
            raise ValueError("give either mannequin, or annotations and images, or photos, or unavailable")
        if self.withheld and (self.mannequin is None or self.layout == "mpii"):
            raise ValueError("withheld goes with a mannequin set in COCO's layout")
        if self.mannequin is not None:
            named_set(self.mannequin)
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the annotations of a set of several sources, as paths inside the folder of all photographs."""
        found = PHOTO_SETS.get(self.photos or "", ())
        return tuple(source.annotations for source in found) if len(found) > 1 else ()

    @property
    def paths(self) -> dict[str, str]:
        """Return the files of a set on disk, inside its folder."""
        parts = {"annotations": self.annotations, "images": self.images, "detections": self.detections}
        parts |= {"ground_truth": self.ground_truth}
        return {part: path for part, path in parts.items() if path is not None}

    @property
    def is_mpii(self) -> bool:
        """Return whether people are scored by PCKh."""
        return self.layout == "mpii" or self.ground_truth is not None

    @property
    def people(self) -> MannequinSet | None:
        """Return the generated set; image i is the same however many there are."""
        if self.mannequin is None:
            return None
        whole = named_set(self.mannequin)
        return whole if self.first_images is None else replace(whole, images=self.first_images)
