"""One's own weights for others: a folder with weights, manifest, model card and results, and its upload to a hub.

`sharpose push` makes it; `load_weights("hub:OWNER/NAME")` reads it. The card says what the manifest and the evaluations
say, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from sharpose.models import create_model
from sharpose.models.registry import describe
from sharpose.runtime.errors import InputError, RunFailed, first_line
from sharpose.runtime.fields import is_number
from sharpose.runtime.files import MAX_MANIFEST_BYTES, new_folder, read_text, write_json
from sharpose.weights.files import Bits, load_weights, save_weights
from sharpose.weights.pretrained import HUB, Weights, find_weights

METRICS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR", "pck": "PCK", "pckh": "PCKh@0.5"}


def push_weights(
    weights: str,
    repository: str,
    results: Sequence[Path],
    license_: str,
    *,
    bits: int,
    private: bool,
    dry_run: Path | None,
) -> dict[str, Any]:
    """Make the folder and upload it, or leave it at `dry_run`; returns where and which files.

    Raises InputError for weights, results or names that cannot be used, RunFailed where the upload fails.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(f"{repository!r} is no repository: it must be OWNER/NAME")
    if bits not in (8, 16):
        raise InputError(f"--bits {bits} does not work: it must be 8 or 16")
    found = find_weights(weights)
    measured = [read_result(path) for path in results]
    place: AbstractContextManager[str | Path] = TemporaryDirectory() if dry_run is None else new_folder(dry_run)
    with place as made:
        folder = Path(made)
        write_folder(folder, found, repository, measured, license_, bits)  # type: ignore[arg-type]
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        if dry_run is None:
            upload(folder, repository, private)
    return {"where": f"{HUB}{repository}" if dry_run is None else str(dry_run), "files": files}


def read_result(path: Path) -> dict[str, Any]:
    """Return what `sharpose evaluate --json` printed. Raises InputError for anything else."""
    try:
        content = json.loads(read_text(path, MAX_MANIFEST_BYTES, "the result"))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({first_line(error)})") from error
    if not isinstance(content, dict) or "annotations" not in content or not set(METRICS) & set(content):
        raise InputError(f"{path}: not what `sharpose evaluate --json` prints")
    for name in METRICS:
        if content.get(name) is not None and not is_number(content[name]):
            raise InputError(f"{path}: {name} = {content[name]!r} is no number")
    return content


def write_folder(
    folder: Path, found: Weights, repository: str, results: Sequence[Mapping[str, Any]], license_: str, bits: Bits
) -> None:
    """Write model.safetensors, model.json, README.md and, with results, .eval_results/results.yaml.

    Raises InputError for results of other weights.
    """
    model = create_model(found.model, **found.options)
    digest = load_weights(model, found.path)
    for result in results:
        if result.get("weights_sha256") != digest:
            raise InputError(f"results on {result['annotations']} are of other weights than {found.path} (sha256)")
    facts = {**found.manifest, "model": found.model, "options": found.options, "made_from_sha256": digest}
    facts.pop("sha256", None)
    save_weights(model, folder / "model.safetensors", facts, bits)
    write_json(folder / "config.json", describe(model.config))
    (folder / "README.md").write_text(card(found, repository, results, license_, bits), encoding="utf-8")
    if results:
        (folder / ".eval_results").mkdir()
        text = yaml.safe_dump(evaluations(results), sort_keys=False, allow_unicode=True)
        (folder / ".eval_results" / "results.yaml").write_text(text, encoding="utf-8")


def named(result: Mapping[str, Any]) -> str:
    """Return the name of the people that a result is on."""
    return Path(str(result["annotations"])).name


def scores(result: Mapping[str, Any]) -> dict[str, float]:
    """Return what was measured, in percent."""
    return {key: 100 * result[key] for key in METRICS if result.get(key) is not None}


def evaluations(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what hubs read under `.eval_results`, one entry per measure."""
    return [
        {
            "dataset": {"id": named(result), "task_id": f"keypoint-detection-{key}"},
            "value": round(value, 2),
            "notes": how(result),
        }
        for result in results
        for key, value in scores(result).items()
    ]


def how(result: Mapping[str, Any]) -> str:
    """Return what a number depends on, in a line."""
    flip = "flip test" if result.get("flip_test") else "no flip test"
    return f"{result.get('people', '?')} people, {result.get('boxes', '?')} boxes, {flip}"


def card(found: Weights, repository: str, results: Sequence[Mapping[str, Any]], license_: str, bits: Bits = 16) -> str:
    """Return a model card: front matter that hubs read (model-index), then text."""
    entries = [
        {
            "task": {"type": "keypoint-detection"},
            "dataset": {"name": named(result), "type": named(result)},
            "metrics": [
                {"type": METRICS[key], "name": METRICS[key], "value": round(value, 2)}
                for key, value in scores(result).items()
            ],
        }
        for result in results
    ]
    front = {
        "license": license_,
        "library_name": "sharpose",
        "pipeline_tag": "keypoint-detection",
        "tags": ["pose-estimation", found.model],
        **({"model-index": [{"name": repository.partition("/")[2], "results": entries}]} if entries else {}),
    }
    lines = [f"# {repository.partition('/')[2]}", "", f"`{found.model}` for `sharpose`, stored in {bits} bits.", ""]
    lines += ["```python", "from sharpose import Pose", "", f'people = Pose("{HUB}{repository}")("photo.jpg")', "```"]
    lines += ["", "## What it learned from", ""]
    lines += [f"- {name}" for name in found.trained_on] or ["The manifest does not say."]
    lines += ["", found.warning.capitalize() + "."] if found.warning else []
    lines += ["", "## What was measured", ""]
    if results:
        lines += ["| people | " + " | ".join(METRICS.values()) + " | how |", "|---" * (len(METRICS) + 2) + "|"]
        for result in results:
            values = scores(result)
            cells = [f"{values[key]:.1f}" if key in values else "–" for key in METRICS]
            lines.append(f"| {named(result)} | {' | '.join(cells)} | {how(result)} |")
        if bits == 8:
            lines += ["", "Measured with the weights in 16 bits, from which these were made."]
    else:
        lines.append("Nothing was given to `sharpose push --results`.")
    command = found.manifest.get("command")
    lines += ["", "## How it was made", "", f"    {command}" if command else "The manifest does not say.", ""]
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n" + "\n".join(lines)


def upload(folder: Path, repository: str, private: bool) -> None:
    """Put a folder into a hub repository, as the token of `hf auth login` may. Raises RunFailed where it fails."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        hub = HfApi(library_name="sharpose")
        hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Weights with their card")
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise RunFailed(f"{repository}: not pushed ({first_line(error)}); log in, or try --dry-run FOLDER") from error
