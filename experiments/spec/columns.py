"""The columns that a spec may ask for: which measure is behind each, and what it prints."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column of a spec: the measure that it needs, and what it prints, in words."""

    measure: str
    meaning: str


SCORES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_m": "AP_M",
    "ap_l": "AP_L",
    "ar": "AR",
    "pck": "PCK",
    "pckh": "PCKh@.5",
}
"""Titles of the scores of `accuracy`."""

COLUMNS = {
    **{name: Column("accuracy", f"{title} in percent, with its 95 % interval") for name, title in SCORES.items()},
    "ap_seeds": Column("accuracy", "AP over the trainings of `seeds`: mean, and how far they are apart"),
    "refined": Column("accuracy", "refine rate: percentage of people who went through the fine stage"),
    "kept": Column("accuracy", "patches that are refined of such a person, on average"),
    "params": Column("cost", "parameters, in millions, and the difference from the paper's"),
    "gflops": Column("cost", "multiply-adds of a fully refined person, in 1e9, and the difference from the paper's"),
    "gflops_expected": Column(
        "accuracy", "multiply-adds of a person on average, by `cost` and who was refined and how much"
    ),
    "batch_size": Column("throughput", "people in a call"),
    "refine_rate": Column(
        "throughput", "refine rate: percentage of a call's people who are refined, as the row asks for"
    ),
    "images_per_s": Column("throughput", "people a second on one device, beside the paper's FPS"),
    "speed": Column("throughput", "speed relative to the row named by `compare_with`, beside the paper's"),
}
"""By the name that a spec asks for it with; a plug-in's measure brings its own."""
