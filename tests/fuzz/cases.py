"""What is tried: sound files of every kind, and strategies that break them byte by byte and value by value."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import pickle
import zipfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import av
import numpy as np
import torch
import yaml
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save as save_safetensors

from results.records import SEAL, Record, encode
from sharpose.pose.skeleton import COCO_CATEGORY

CANARY = "/tmp/sharpose-fuzz-canary"


class Runs:
    """Pickles as a call: whoever unpickles it without care runs a command."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def odd_values() -> st.SearchStrategy[Any]:
    """Values that files hold by mistake or malice: of other types, huge, not numbers, paths out of their folder."""
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([0, -1, 2**31, 2**63, 10**30, 10**400]),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["", "..", "../../etc/passwd", "/etc/passwd", "a\0b", "nan", "\ud800", "x" * 5000, "~", "."]),
    )
    return st.recursive(
        plain,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
        max_leaves=6,
    )


ODD = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, 0.5, -1e308, float("nan"), float("inf")),
    *("", "..", "../../etc/passwd", "/etc/passwd", "a\0b", "nan", "\ud800", "x" * 5000, "~", "1", "\n", "é"),
    *([], {}, [None], [[[]]], {"a": {"b": []}}, [1, "2"], {"": None}, [0] * 50),
)


def edit_bytes(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """`broken_bytes` without hypothesis, for many cases per second."""
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(content) + 1), rng.randint(1, 40)
        kind = rng.randrange(6)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(content):
            content[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del content[at : at + length]
        elif kind == 3:
            content[at:at] = rng.randbytes(length)
        elif kind == 4:
            content[at:at] = content[at : at + length] * rng.randint(1, 20)
        elif rng.random() < 0.3:
            del content[at:]
    return bytes(content)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) of a document, from the top down."""
    if not isinstance(tree, dict | list):
        return []
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    return [(tree, key) for key in keys] + [place for key in keys for place in places(tree[key])]


def edit_tree(rng: Random, trees: Sequence[Any]) -> Any:
    """`broken_tree` without hypothesis."""
    tree = json.loads(json.dumps(rng.choice(trees)))
    for _ in range(rng.randint(1, 3)):
        every = places(tree)
        if not every:
            return deepcopy(rng.choice(ODD))
        # a document has many numbers deep inside; half of the edits are near the top
        holder, key = rng.choice(every[:12] if rng.random() < 0.5 else every)
        action = rng.randrange(4)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, dict):
            holder[rng.choice(("", "x", "id", "model.alpha", "ap "))] = deepcopy(rng.choice(ODD))
        else:
            holder[key] = deepcopy(rng.choice(ODD))
    return tree


def edit_document(rng: Random, trees: Sequence[Any], dump: Callable[[Any], bytes]) -> bytes:
    """`documents` without hypothesis."""
    return dump(edit_tree(rng, trees)) if rng.random() < 0.7 else edit_bytes(rng, [dump(tree) for tree in trees])


@st.composite
def broken_bytes(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A sound file with a few edits: flipped bits, cuts, insertions, repeated pieces."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(("flip", "set", "cut", "insert", "repeat", "truncate")))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and content:
            content[at] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)))
        elif kind == "cut":
            del content[at : at + length]
        elif kind == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=40))
        elif kind == "repeat":
            content[at:at] = content[at : at + length] * draw(st.integers(1, 20))
        else:
            del content[at:]
    return bytes(content)


@st.composite
def broken_tree(draw: st.DrawFn, trees: list[Any]) -> Any:
    """A sound document with a few values replaced, removed, or put under another key."""
    tree = json.loads(json.dumps(draw(st.sampled_from(trees))))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = tree, None
        for _ in range(draw(st.integers(1, 5))):
            if isinstance(holder, dict) and holder:
                key = draw(st.sampled_from(sorted(holder)))
            elif isinstance(holder, list) and holder:
                key = draw(st.integers(0, len(holder) - 1))
            else:
                break
            parent, holder = holder, holder[key]
        if key is None:
            return draw(odd_values())
        action = draw(st.sampled_from(("replace", "replace", "remove", "add")))
        if action == "replace":
            parent[key] = draw(odd_values())
        elif action == "remove":
            del parent[key]
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = draw(odd_values())
        else:
            parent.append(draw(odd_values()))
    return tree


def as_json(tree: Any) -> bytes:
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def as_yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")


def documents(trees: list[Any], dump: Callable[[Any], bytes]) -> st.SearchStrategy[bytes]:
    """Broken documents, as text that parses and as text that does not."""
    return st.one_of(
        broken_tree(trees).map(dump), broken_bytes([dump(tree) for tree in trees]), st.binary(max_size=200)
    )


SPEC = {
    "title": "A table",
    "row_header": "α",
    "base": {"model": "sharpose-base-256x192", "model.quality_threshold": None, "dataset": "coco-val"},
    "measure": ["accuracy", "cost", "throughput"],
    "throughput": {"batch_size": 2, "precision": "fp32", "rounds": 12},
    "columns": ["ap", "gflops", "images_per_s", "speed"],
    "compare_with": "1.0",
    "rows": [
        {"label": "0.3", "set": {"model.alpha": 0.3}, "paper": {"ap": 74.8, "gflops": 15.8}, "note": "x"},
        {"label": "1.0", "set": {"model.alpha": 1.0}, "measure": ["cost"]},
    ],
    "notes": ["a note"],
}
RECIPE = {
    "epochs": 2,
    "batch_size": 8,
    "betas": [0.9, 0.999],
    "milestones": [1, 2],
    "alphas": [0.0, 0.5],
    "augment": {"rotation": 30.0},
    "teacher": "weights.safetensors",
    "model_options": {"oks_target": "paper"},
}
POSE = {
    "images": [{"id": 1, "file_name": "1.jpg", "height": 60, "width": 80}, {"id": 2, "file_name": "b/2.jpg"}],
    "annotations": [
        {"id": number, "image_id": number, "category_id": 1, "iscrowd": crowd, "bbox": [1.0, 2.0, 30.0, 40.0]}
        | {"area": 900.0, "keypoints": [5, 6, 2] * 17, "num_keypoints": 17}
        for number, crowd in ((1, 0), (2, 1))
    ],
    "categories": [dict(COCO_CATEGORY)],
}
DETECTIONS = [{"image_id": 1, "category_id": 1, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}]
RECORD = Record(
    {"measure": "cost", "version": 1, "model": {"system": "SHaRPose", "alpha": 0.4}},
    {"params": 3, "samples": [1.5, None]},
    "table6a",
    "0.4",
    "nano",
    {"device": "a cpu"},
)


RECORD_FIELDS = {key: value for key, value in json.loads(encode(RECORD)).items() if key != "sha256"}


def sealed(tree: Any) -> bytes:
    """A record with the right seal over wrong content, as a careless hand would make it."""
    body = as_json(tree).removesuffix(b"}")
    return body + SEAL + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def records() -> st.SearchStrategy[bytes]:
    return st.one_of(broken_bytes([encode(RECORD)]), broken_tree([RECORD_FIELDS]).map(sealed))


def edit_record(rng: Random) -> bytes:
    return sealed(edit_tree(rng, [RECORD_FIELDS])) if rng.random() < 0.5 else edit_bytes(rng, [encode(RECORD)])


def image_files() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    seeds = []
    for kind, mode in (("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("BMP", "RGB"), ("WEBP", "RGB"), ("GIF", "P")):
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, kind)
        seeds.append(buffer.getvalue())
    return seeds


def video_files() -> list[bytes]:
    """Five frames each, in the containers and codecs that phones, browsers and cameras write."""
    seeds = []
    for container, codec in (("mp4", "libx264"), ("mp4", "mpeg4"), ("matroska", "libx264"), ("avi", "mjpeg")):
        page = io.BytesIO()
        with av.open(page, "w", format=container) as file:
            stream: Any = file.add_stream(codec, rate=10)
            stream.width, stream.height = 48, 32
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(5):
                pixels = np.full((32, 48, 3), 40 * number, dtype=np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode())
        seeds.append(page.getvalue())
    return seeds


def state_dict() -> dict[str, torch.Tensor]:
    return {"blocks.0.weight": torch.arange(12.0).reshape(3, 4), "bias": torch.zeros(3)}


def torch_files() -> list[bytes]:
    """PyTorch files old and new, and hostile ones: calls, and an archive whose members point out of it."""
    cyclic: dict[str, Any] = {"epoch": 3}
    cyclic["model"] = {"state_dict": cyclic}
    odd = [torch.ones(2, device="meta"), torch.eye(2).to_sparse(), torch.ones(2, dtype=torch.complex64)]
    odd += [torch.tensor([math.nan]), torch.ones(1).expand(10**6)]
    odd += [torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])]
    contents = [state_dict(), {"state_dict": state_dict(), "epoch": 3}, {"model": state_dict(), "ema": state_dict()}]
    contents += [cyclic, *({**state_dict(), "odd": one} for one in odd)]
    calls = [
        (os.system, f"touch {CANARY}"),
        (eval, f"open({CANARY!r}, 'w')"),
        (os.mkdir, CANARY),
        (exec, "while 1: pass"),
    ]
    found = []
    for content in contents + [{"state_dict": Runs(*call)} for call in calls]:
        for modern in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=modern)
            found.append(buffer.getvalue())
    found += [pickle.dumps(Runs(*call)) for call in calls]
    escaping = io.BytesIO()
    with zipfile.ZipFile(escaping, "w") as archive:
        archive.writestr("../../sharpose-escaped/data.pkl", pickle.dumps({}))
        archive.writestr("/tmp/sharpose-escaped", b"x")
        archive.writestr("archive/data.pkl", pickle.dumps(Runs(os.mkdir, CANARY)))
    return [*found, escaping.getvalue()]


def safetensors_file(header: Any) -> bytes:
    text = as_json(header)
    return len(text).to_bytes(8, "little") + text + bytes(60)


SAFETENSORS_HEADER = {
    "weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
    "bias": {"dtype": "F32", "shape": [3], "data_offsets": [48, 60]},
}


def edit_safetensors(rng: Random) -> bytes:
    if rng.random() < 0.5:
        return safetensors_file(edit_tree(rng, [SAFETENSORS_HEADER]))
    return edit_bytes(rng, [save_safetensors(state_dict())])


def safetensors() -> st.SearchStrategy[bytes]:
    sound = [save_safetensors(state_dict())]
    return st.one_of(broken_bytes(sound), broken_tree([SAFETENSORS_HEADER]).map(safetensors_file))
