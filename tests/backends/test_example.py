"""The example of docs/deploy.md: exported graphs without this package give the same keypoints as with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sharpose import Pose

ROOT = Path(__file__).resolve().parents[2]
BOX = [4.0, 10.0, 100.0, 140.0]


@pytest.mark.slow
def test_keypoints_without_the_package(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    picture, graphs = tmp_path / "picture.png", tmp_path / "graphs"
    Image.open(ROOT / "results" / "examples" / "person.png").convert("RGB").save(picture)
    export = [sys.executable, "-m", "sharpose.cli", "export", "sharpose-nano-128x96", "--onnx", str(graphs)]
    # a process of its own: a tracer cannot look into the shape checks of these tests
    subprocess.run(export, cwd=ROOT, check=True, capture_output=True)
    manifest = json.loads((graphs / "manifest.json").read_text())
    assert (manifest["model"], manifest["weights"]) == ("sharpose-nano-128x96", "photos/sharpose-nano-128x96")
    for threshold, refined in ((None, True), (-9.0, False)):
        (graphs / "manifest.json").write_text(json.dumps({**manifest, "quality_threshold": threshold}))
        example = [sys.executable, str(ROOT / "docs" / "examples" / "onnx_numpy.py"), str(graphs), str(picture)]
        # from a folder without the package
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        said = subprocess.run(
            [*example, *map(str, BOX)], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout
        rows = [line.split() for line in said.splitlines()]
        pose = Pose("sharpose-nano-128x96", device="cpu", backend="eager", quality_threshold=threshold)
        (person,) = pose(picture, boxes=[BOX])
        assert person.refined is refined and tuple(row[0] for row in rows) == pose.names
        np.testing.assert_allclose(np.array([row[1:] for row in rows], dtype=float), person.keypoints, atol=2e-2)


def test_the_example_needs_nothing_of_this_package() -> None:
    text = (ROOT / "docs" / "examples" / "onnx_numpy.py").read_text()
    assert "import sharpose" not in text and "from sharpose" not in text and len(text.splitlines()) <= 46
