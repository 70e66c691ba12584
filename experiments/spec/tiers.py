"""What `tiers.yaml` holds: data sets by name, stand-ins for models at a tier, and the budget that systems share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from experiments.spec.datasets import DataSet, Strict
from sharpose.models.registry import list_models
from sharpose.runtime.errors import nearest


class Peer(Strict):
    """Another project's model, to be measured by the same code, and what it was `trained_on`, in words.

    A network that gives heatmaps is a `file` inside a folder, with the sha256 of its weights (of an IR: of the .bin
    beside it) and how it is read; `mediapipe` is the package's own, whatever version is installed, with the version
    whose records stand where there is none.
    """

    trained_on: str = Field(min_length=1)
    folder: str = Field("peers", pattern="^[a-z][a-z0-9_]*$")
    file: str | None = None
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    mediapipe: str | None = Field(None, description="a version of the package")
    input: str = Field("", description="HEIGHTxWIDTH, where the graph leaves it open")
    normalise: str = "imagenet"
    channels: Literal["rgb", "bgr"] = "rgb"
    codec: Literal["udp", "dark", "msra"] = "udp"
    padding: float = Field(1.25, ge=1, le=4)

    @model_validator(mode="after")
    def one_kind(self) -> Peer:
        """Check that a peer is a file with its sha256, or a version of mediapipe. Raises ValueError where it is not."""
        if (self.file is None) == (self.mediapipe is None) or (self.file is None) != (self.weights_sha256 is None):
            raise ValueError("give either file and weights_sha256, or mediapipe")
        return self

    @property
    def reading(self) -> dict[str, Any]:
        """Return how crops and heatmaps are meant, which determines its numbers beside the weights."""
        names = ("input", "normalise", "channels", "codec", "padding")
        return {name: getattr(self, name) for name in names}


class SharedSystem(Strict):
    """How a system differs from the others that share a budget.

    Its model (default: the name of its weights), its data (other labels of the same people), changes to the recipe, the
    seed, whether it begins with the tier's `start`, and whose weights teach it.
    """

    model: str | None = None
    data: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(0, ge=0)
    start: bool = False
    teacher: str | None = None


class Repeated(Strict):
    """Systems that are trained again with each of these seeds."""

    seeds: list[Annotated[int, Field(ge=1)]]
    systems: list[str]


class RateTrials(Strict):
    """The short list from which every system gets its learning rate.

    Each rate is tried in a training in small, of so many `crops`, and the one with the best `score` on the people
    `judged_on` is taken.
    """

    values: list[Annotated[float, Field(gt=0)]] = Field(min_length=2)
    crops: int = Field(ge=1)
    judged_on: str
    score: Literal["ap", "pck"] = "ap"


class SharedBudget(Strict):
    """One recipe and data set for all `systems` (names of weights), the most valuable first.

    `start`: where those that can begin with trained blocks do, a name in the folder of weights; `repeated`: what comes
    after all others, as NAME-seedN, and `afterwards` what comes last.

    `validate_on`: sets on which AP and PCK are followed, `points` times, at halves of the way. `learning_rates`: left
    out, the recipe's is everybody's. `precision` and `preload` are those of `sharpose train`.
    """

    recipe: str
    data: str
    start: str | None = None
    validate_on: list[str] = Field(default_factory=list)
    points: int = Field(5, ge=1)
    learning_rates: RateTrials | None = None
    precision: Literal["no", "bf16", "fp16", "auto"] = "no"
    preload: bool = False
    systems: dict[str, SharedSystem]
    repeated: Repeated | None = None
    afterwards: dict[str, SharedSystem] = Field(default_factory=dict)

    @property
    def repeats(self) -> dict[str, tuple[str, int]]:
        """Return system and seed of what is trained again, by the name of its weights."""
        again = self.repeated
        return {f"{one}-seed{seed}": (one, seed) for one in again.systems for seed in again.seeds} if again else {}

    @property
    def trainings(self) -> dict[str, SharedSystem]:
        """Return every system by the name of its weights, the most valuable first, then those with other seeds."""
        again = {
            name: self.systems[one].model_copy(update={"model": self.systems[one].model or one, "seed": seed})
            for name, (one, seed) in self.repeats.items()
        }
        return {**self.systems, **again, **self.afterwards}

    def first_of(self, name: str) -> str:
        """Return the system that a training repeats, whose learning rate it takes; itself where it repeats none."""
        return self.repeats.get(name, (name, 0))[0]

    @model_validator(mode="after")
    def known_names(self) -> SharedBudget:
        """Check that all models, starts, teachers and data that systems name are there. Raises ValueError."""
        listed = {**self.systems, **self.afterwards}
        for name, system in listed.items():
            model = system.model or name
            if model not in list_models():
                raise ValueError(f"systems.{name}: no model is called {model!r}{nearest(model, list_models())}")
            if system.start and self.start is None:
                raise ValueError(f"systems.{name}.start: this budget names no `start`")
            if system.teacher is not None and system.teacher not in self.systems:
                close = nearest(system.teacher, self.systems)
                raise ValueError(f"systems.{name}.teacher: no system is called {system.teacher!r}{close}")
        for name in self.repeated.systems if self.repeated else ():
            if name not in self.systems:
                raise ValueError(f"repeated.systems: no system is called {name!r}{nearest(name, self.systems)}")
        judged = self.learning_rates
        if judged is not None and judged.judged_on not in self.validate_on:
            raise ValueError(f"learning_rates.judged_on: {judged.judged_on!r} is not among validate_on")
        return self


Start = Literal["random", "label-free", "pose network"]
"""What a training began with: nothing, an image encoder that has seen no keypoint, or weights of a pose network."""


class Tier(Strict):
    """What stands for a spec's models and data sets; None: they stand for themselves.

    `without`: models and data sets that nothing stands for, and why. `shared`: the budget that trains its weights.
    `options`: of every model that stands in, as it was trained. `boxes`: in place of a spec's.
    `each_alpha`: whether every α is a training of its own; else one network serves all.
    `title`: what titles say in place of "COCO val". `starts`: what the rows that are compared began with; others stand
    below a line. `also`: by a spec's data set, the further columns of a row's accuracy: people and score.
    """

    models: dict[str, str] | None = None
    datasets: dict[str, str] | None = None
    without: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    boxes: Literal["ground-truth"] | None = None
    each_alpha: bool = False
    title: str | None = None
    starts: Start | None = None
    also: dict[str, dict[str, Literal["ap", "pck"]]] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list, description="under every table with an accuracy at this tier")
    shared: SharedBudget | None = None


class Tiers(Strict):
    """All of `tiers.yaml`: tiers, data sets, and peers that run from a file or a package, by name."""

    tiers: dict[str, Tier]
    datasets: dict[str, DataSet]
    peers: dict[str, Peer] = Field(default_factory=dict)
