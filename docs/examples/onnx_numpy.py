"""Keypoints from exported graphs, without sharpose: python onnx_numpy.py GRAPHS PICTURE X Y WIDTH HEIGHT."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def crop(picture, box, facts):
    """Padded box to normalised network input (3, H, W); its corner and sides in the picture."""
    height, width = facts["image_size"]
    sides = np.maximum(box[2:], [box[3] * width / height, box[2] * height / width]) * facts["padding"]
    corner, scale = box[:2] + box[2:] / 2 - sides / 2, (np.array([width, height]) - 1) / sides
    pixels = cv2.warpAffine(picture, np.column_stack([np.diag(scale), -scale * corner]), (width, height))
    return ((pixels / 255 - facts["mean"]) / facts["std"]).transpose(2, 0, 1).astype(np.float32), corner, sides


def decode(heatmap, kernel):
    """Heatmap (h, w) to x, y and score: the maximum, and a Newton step on the log of the blurred map."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    blurred = np.pad(cv2.GaussianBlur(heatmap, (kernel, kernel), 0), 1, mode="edge")
    (a, b, _), (c, d, e), (_, f, g) = np.log(blurred[y : y + 3, x : x + 3].clip(0.001, 50))
    slope, mixed = np.array([e - c, f - b]) / 2, (g - e - f + 2 * d - c - b + a) / 2
    step = np.linalg.solve([[e - 2 * d + c + 1e-7, mixed], [mixed, f - 2 * d + b + 1e-7]], -slope)
    return np.array([x, y]) + step, heatmap.max()


folder, picture, box = Path(sys.argv[1]), cv2.imread(sys.argv[2])[..., ::-1], np.array(sys.argv[3:7], dtype=float)
facts = json.loads((folder / "manifest.json").read_text())
run = {name: onnxruntime.InferenceSession(folder / graph["file"]).run for name, graph in facts["graphs"].items()}
assert facts["postprocessing"]["decoder"] == "UdpCodec", "this example decodes UDP heatmaps"
image, corner, sides = crop(np.ascontiguousarray(picture), box, facts["preprocessing"])
first = next(iter(run))  # coarse; for systems of one stage, whole
found = dict(zip(facts["graphs"][first]["outputs"], run[first](None, {"images": image[None]}), strict=True))
threshold = facts["quality_threshold"]
if first == "coarse" and "fine" in run and (threshold is None or found["quality"][0] < threshold):
    names = facts["graphs"]["fine"]["inputs"]
    given = {name: found[name.removeprefix("coarse_")] for name in names if name != "images"}
    found["heatmaps"] = run["fine"](["heatmaps"], {"images": image[None], **given})[0]
steps = np.array(found["heatmaps"].shape[:1:-1]) - 1
for name, heatmap in zip(facts["keypoints"], found["heatmaps"][0], strict=True):
    point, score = decode(heatmap, facts["postprocessing"]["kernel"])
    print(name, *(point / steps * sides + corner).round(3), round(float(score), 4))
