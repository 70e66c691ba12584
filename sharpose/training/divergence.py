"""When a loss has run away: far above what it was, for many steps on end."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

WINDOW = 200


@dataclass
class Watch:
    """Compares each loss with `factor` times the median of the last sound ones; `steps` such losses are a divergence.

    `recent` and `above` go into checkpoints, so that a resumed run stops where an uninterrupted one does. With
    `steps` = 0 nothing is ever suspicious.
    """

    factor: float
    steps: int
    recent: list[float] = field(default_factory=list)
    above: int = 0

    def see(self, loss: float) -> None:
        """Take note of a step's loss; suspicious ones do not move the median."""
        if self.steps and self.recent and loss > self.factor * median(self.recent):
            self.above += 1
            return
        self.above = 0
        self.recent = [*self.recent, loss][-WINDOW:]

    @property
    def suspicious(self) -> bool:
        """Return whether the last loss was too high: the weights of now should not replace the last good ones."""
        return self.above > 0

    @property
    def diverged(self) -> bool:
        """Return whether `steps` losses on end were too high."""
        return self.suspicious and self.above >= self.steps
