"""The public names of the authors' own PyTorch weights (github.com/princeton-vl/pytorch_stacked_hourglass)."""

from __future__ import annotations

import re

from sharpose.models.layout import Layout, State, Table

# of the published depth
DEPTH = 4
# where a bottleneck is inside one level, there and here
PLACES = (("up1", 0), ("low1", 1), ("low3", 2))

OFFICIAL: Table = (
    (r"^pre\.0\.bn\.", "bn1."),
    (r"^pre\.0\.", "conv1."),
    (r"^pre\.1\.", "layer1.0."),
    (r"^pre\.3\.", "layer2.0."),
    (r"^pre\.4\.", "layer3.0."),
    *(
        (rf"^hgs\.(\d+)\.0\.(?:low2\.){{{DEPTH - 1 - level}}}{there}\.", rf"stacks.hg.\1.hg.{level}.{here}.0.")
        for level in range(DEPTH)
        for there, here in PLACES
    ),
    (rf"^hgs\.(\d+)\.0\.(?:low2\.){{{DEPTH}}}", r"stacks.hg.\1.hg.0.3.0."),
    (r"^features\.(\d+)\.0\.", r"stacks.res.\1.0."),
    (r"^features\.(\d+)\.1\.bn\.", r"stacks.fc.\1.1."),
    (r"^features\.(\d+)\.1\.", r"stacks.fc.\1.0."),
    (r"^outs\.(\d+)\.", r"stacks.score.\1."),
    (r"^merge_features\.(\d+)\.", r"stacks.fc_.\1."),
    (r"^merge_preds\.(\d+)\.", r"stacks.score_.\1."),
)
# the only bottlenecks that change their width
WIDENING = ("pre.1.", "pre.4.")


def without_wrappers(state: State) -> State:
    """Return convolutions without the module around each, and without the shortcuts that nothing goes through."""
    found = {}
    for name, value in state.items():
        name = name.removeprefix("module.").removeprefix("model.")
        if "skip_layer" in name and not name.startswith(WIDENING):
            continue
        name = name.replace("skip_layer.conv.", "downsample.0.")
        found[re.sub(r"(?:\.conv)+\.(weight|bias)$", r".\1", name)] = value
    return found


LAYOUTS = (Layout("official", OFFICIAL, shows="outs.0.conv.weight", prepare=without_wrappers),)
