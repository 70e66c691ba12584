"""What every figure shows, in words, wherever it is shown."""

from __future__ import annotations

CAPTIONS = {
    "concept": "The method on one person: a coarse stage over every patch, how much keypoints attend to each, a "
    "fine stage over those of most attention, keypoints. A person whose predicted quality is high enough "
    "exits early, before the fine stage.",
    "figure2": "Figure 2: one person's heatmaps after every block of ViTPose, and how far the keypoints are off there.",
    "figure5": "Figure 5: people, what their keypoints attend to, the patches selected for the fine stage, and "
    "those that one map for everybody selects. Above each: the predicted quality, and the true OKS of "
    "the coarse answer → of the fine one (0.70 → 0.80 would be a gain of 0.10).",
    "figure6": "Figure 6: the quality threshold. Above: AP, AP50 and AP75 (lines) and who exits early (bars); "
    "middle: AP over expected cost, beside as many exits at random and by the true gain; below: true "
    "over predicted quality.",
    "frontier": "AP over expected cost: a line per α, a point per quality threshold; the grey steps are the "
    "points that no other one beats.",
    "latency": "AP over the expected time of one person, as both stages were timed: a line per α, from "
    "nobody refined to everybody; the grey steps are the points that no other one beats.",
    "curves": "Learning curves: accuracy, with flip test, over the crops that every training had seen.",
    "semantics": "Every switch between the paper's text and its release alone, and all together: AP with its 95 % "
    "interval; beside it cost and who was refined.",
    "schedules": "Tokens that enter every block, system by system; SHaRPose's second dozen of blocks is its fine "
    "stage.",
    "counters": "Counts of multiply-adds against torch's: matmuls agree, norms and resizing come on top.",
    "batch": "Images per second over the number of people in a call.",
    "exits": "Images per second over the refine rate, measured, and as both ends alone predict.",
    "table6a": "Table 6a: AP with its 95 % interval over cost, a point per α, SHaRPose-Base 256×192.",
    "table6b": "Table 6b: AP with its 95 % interval over cost, a point per α, SHaRPose-Base 384×288.",
    "bench": "How many times as fast a row is as the one below the ÷, timed interleaved; the orange mark is "
    "what was aimed at.",
    "bench-roof": "Multiply-adds a second over multiply-adds per byte, under what the machine's own matmuls and "
    "copies allow.",
    "token-reduction": "How many times as fast systems with fewer tokens are as the transformer with all of them, "
    "measured over predicted; on the dashed line a prediction was right. Pale: the machine was slowed meanwhile.",
    "bench-operators": "Where the time of a call goes, by kind of operator.",
}
"""By the name of a figure's file."""
