"""How a model is trained: named recipe files, checked before anything starts. No torch."""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sharpose.data.augment import Augmentation
from sharpose.models.registry import find
from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import Share, reason
from sharpose.runtime.files import read_text
from sharpose.runtime.plain_yaml import ERRORS, MAX_BYTES, plain_yaml

LENGTHS = ("epochs", "linear_decay_epochs", "coarse_only_epochs", "quality_start_epoch", "cross_entropy_epochs")
"""Fields of a recipe that are numbers of epochs."""
Moment = Annotated[float, Field(ge=0)]
"""Of a training, in epochs."""


class Recipe(BaseModel):
    """The defaults are the paper's recipe (Section 4.1 and the release's configuration for Base 256x192)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    starts_from: str | None = Field(None, description="the weights that the published training starts from, in words")
    epochs: float = Field(210, gt=0)
    batch_size: int = Field(256, ge=1, description="over all processes")
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="adam: without any weight decay")
    learning_rate: float = Field(5e-4, gt=0)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    weight_decay: float = Field(0.1, ge=0)
    layer_decay: float = Field(0.75, gt=0, le=1)
    decay_embeddings: bool = Field(
        True, description="layer decay also for learned tokens and position tables; else they learn at the full rate"
    )
    head_init_std: float | None = Field(
        None, ge=0, description="deviation of the weights that the heatmap head's last layer starts with; none: its own"
    )
    warmup_iterations: int = Field(500, ge=0)
    warmup_ratio: float = Field(0.001, gt=0, le=1)
    milestones: tuple[Moment, ...] = Field((170, 200), description="epochs at which the learning rate falls by gamma")
    gamma: float = Field(0.1, gt=0, le=1)
    linear_decay_epochs: float = Field(0, ge=0, description="last epochs over which the learning rate falls to zero")
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of all gradients together")
    loss_factor: float = Field(1.0, gt=0, description="of the whole loss; older code bases halve theirs")
    sigma: float = Field(2.0, gt=0, description="of the target Gaussians, in heatmap pixels")
    cross_entropy: float = Field(
        0, ge=0, description="weight, at first, of the cross-entropy between heatmaps and targets as distributions"
    )
    cross_entropy_epochs: float = Field(0, ge=0, description="first epochs, over which that weight fades to zero")
    attention: float = Field(
        0, ge=0, description="weight of the cross-entropy of keypoint tokens' attention and targets (SHaRPose, DVT)"
    )
    quality_weight: float = Field(0.03, ge=0, description="lambda, once quality_start_epoch is reached")
    quality_start_epoch: float = Field(180, ge=0)
    coarse_only_epochs: float = Field(0, ge=0, description="first epochs that train the coarse stage alone")
    alphas: tuple[Share, ...] = Field((), description="drawn per batch (elastic model); empty: the model's own")
    keep_rate_schedule: tuple[Moment, Moment] | None = Field(
        None, description="EViT: epochs without reduction, then epochs until its keep rate is reached"
    )
    only: tuple[str, ...] = Field((), description="train parameters whose names begin so, and leave others alone")
    teacher: Path | None = Field(None, description="DynamicViT: weights of the unpruned model to learn from")
    augment: bool | dict[str, float | str] = Field(
        True, description="the paper's random crops, none, or the paper's with some strengths changed"
    )
    divergence_factor: float = Field(10.0, gt=1, description="a loss above this many times its running median is bad")
    divergence_steps: int = Field(50, ge=0, description="so many bad losses on end stop the run; 0: never")
    model_options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("augment")
    @classmethod
    def known_strengths(cls, augment: bool | dict[str, float | str]) -> bool | dict[str, float | str]:
        """Check the names and values of strengths of augmentation. Raises ValueError for one that does not work."""
        for name, value in augment.items() if isinstance(augment, dict) else ():
            known = [field.name for field in fields(Augmentation)]
            if name not in known:
                raise ValueError(f"no strength is called {name!r}; there are {', '.join(known)}")
            if name == "shift_of" and value not in ("crop", "box"):
                raise ValueError(f"shift_of = {value!r} does not work: it must be crop or box")
            if name != "shift_of" and isinstance(value, str):
                raise ValueError(f"{name} = {value!r} does not work: it must be a number")
        return augment

    @model_validator(mode="after")
    def adam_without_decay(self) -> Recipe:
        """Check that weight decay has an optimiser that knows it. Raises ValueError where it has not."""
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError("optimizer adam knows no weight decay here; set weight_decay: 0, or take adamw")
        return self

    def shortened(self, factor: float) -> Recipe:
        """Return the recipe in small: every length of it, from the warm-up to the last decay, times `factor`."""
        lengths = {name: factor * getattr(self, name) for name in LENGTHS}
        schedule = self.keep_rate_schedule
        return self.model_copy(
            update={
                **lengths,
                "milestones": tuple(factor * epoch for epoch in self.milestones),
                "keep_rate_schedule": schedule and (factor * schedule[0], factor * schedule[1]),
                "warmup_iterations": round(factor * self.warmup_iterations),
            }
        )

    @property
    def augmentation(self) -> Augmentation | None:
        """Return the random crops while training."""
        if isinstance(self.augment, dict):
            return Augmentation(**self.augment)  # type: ignore[arg-type]
        return Augmentation() if self.augment else None


FOLDER = Path(str(files("sharpose.training") / "recipes"))


def own_recipe(model_name: str, codec: str = "") -> str:
    """Return the name of the recipe that a model is trained by, where none is named.

    `vitpose-base-384x288` asks for a recipe of its own, then for vitpose-base's, vitpose-384x288's and vitpose's;
    before all of them for that of its `codec` (hrnet-udp-384x288). Nano models, and those without any, share one that
    their system names.
    """
    shared = find(model_name).recipe
    if "-nano-" in model_name:
        return shared
    *parts, size = model_name.removesuffix("-mpii").split("-")
    names = [model_name]
    for count in range(len(parts), 0, -1):
        stem = "-".join(parts[:count])
        names += [f"{stem}-{size}", stem]
    if codec:
        stem = "-".join([parts[0], codec])
        names = [f"{stem}-{size}", stem, *names]
    return next((name for name in names if (FOLDER / f"{name}.yaml").exists()), shared)


def load_recipe(name: str | Path) -> Recipe:
    """Return a recipe by name (a file of `training/recipes`) or by path. Raises InputError naming file and field."""
    path = Path(str(name))
    if path.suffix not in {".yaml", ".yml"}:
        path = FOLDER / f"{name}.yaml"
        if not path.exists():
            names = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
            raise InputError(f"no recipe is called {str(name)!r}; recipes: {names} (or give a .yaml file)")
    try:
        content = plain_yaml(read_text(path, MAX_BYTES, "the recipe"))
        return Recipe.model_validate({} if content is None else content)
    except InputError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(".".join(map(str, first["loc"])).split())
        raise InputError(f"{path}: {where}: {reason(first)}") from error
    # dates, numbers and keys that are none fail while they are built, each in its own way
    except ERRORS as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
