"""What `make bench` compares, declared in bench.yaml, and what determines each of its numbers. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from experiments.cells.cells import model_identity
from experiments.cells.provenance import Device
from experiments.spec.catalog import Blocked, Catalog, open_catalog
from experiments.spec.datasets import Strict
from experiments.spec.spec import FOLDER
from experiments.spec.yamlfile import YamlFile
from sharpose.backends.choice import COMPILED, EAGER, check_backend
from sharpose.efficiency.peers import PEERS, describe_peer, missing_package
from sharpose.models.registry import resolve_config
from sharpose.runtime.errors import InputError, nearest

VERSION = 1
BENCH, DEPLOYED = "bench", "deployed"
PACKAGES = {
    "onnxruntime": ("onnx", ("onnxscript", "onnxruntime")),
    "openvino": ("openvino", ("onnxscript", "openvino")),
}
"""By back-end: the extra, and what must be importable."""


class BenchRow(Strict):
    """One thing to time. `against`: the label of the row its speed is divided by; `wanted`: the ratio aimed at."""

    label: str = Field(min_length=1)
    model: str
    options: dict[str, Any] = Field(default_factory=dict)
    batch_size: int | None = Field(None, ge=1, le=4096, description="in place of the spec's")
    backend: str = EAGER
    precision: str = "fp32"
    scope: Literal["model", "model-flip-decode", "end-to-end"] = "model"
    against: str | None = None
    wanted: float | None = Field(None, gt=0)


class DeployedRow(Strict):
    """A back-end and its precision, on which a trained model is run."""

    backend: str
    precision: str


class DeployedRows(Strict):
    """A tier's trained model on other back-ends, judged on `data`; the others are compared with the first row."""

    tier: str
    model: str
    data: str
    options: dict[str, Any] = Field(default_factory=dict)
    rows: list[DeployedRow] = Field(min_length=1)


class Bench(Strict):
    """Rows of one interleaved session. `data`: the people of scope `end-to-end`."""

    title: str = Field(min_length=1)
    rounds: int = Field(12, ge=3, le=10_000)
    data: str
    batch_size: int = Field(4, ge=1, le=4096)
    rows: list[BenchRow] = Field(min_length=1)
    deployed: DeployedRows
    notes: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Timing:
    """A row with what determines its number, and why it cannot be measured here (None: it can)."""

    row: BenchRow
    identity: dict[str, Any]
    lacking: str | None

    @property
    def label(self) -> str:
        """Return what tables call the row."""
        return self.row.label


@dataclass(frozen=True)
class Deployment:
    """A trained model on a back-end, what determines its number, and what it lacks to be measured here."""

    row: DeployedRow
    weights: Path
    identity: dict[str, Any]
    lacking: str | None

    @property
    def label(self) -> str:
        """Return what tables call the row."""
        return f"{self.row.backend} {self.row.precision}"


def load_bench(path: Path = FOLDER / "bench.yaml") -> Bench:
    """Read and check the spec. Raises SpecError naming file, line and key."""
    file = YamlFile(path)
    bench = file.validate(Bench)
    labels = [row.label for row in bench.rows]
    for index, row in enumerate(bench.rows):
        if labels.count(row.label) > 1:
            raise file.error(("rows", index, "label"), f"label {row.label!r} is used twice; make them differ")
        if row.against is not None and row.against not in labels:
            message = f"against: no row is labelled {row.against!r}{nearest(row.against, labels)}"
            raise file.error(("rows", index, "against"), message)
        if row.label in chain(row, bench.rows):
            message = f"against: row {row.label!r} is set against itself, directly or through others"
            raise file.error(("rows", index, "against"), message)
        try:
            check_row(row)
        except InputError as error:
            raise file.error(("rows", index), f"row {row.label!r}: {error}") from None
    for index, deployed in enumerate(bench.deployed.rows):
        try:
            check_backend(deployed.backend, deployed.precision, "cpu")
        except InputError as error:
            raise file.error(("deployed", "rows", index), str(error)) from None
    return bench


def chain(row: BenchRow, rows: Sequence[BenchRow]) -> list[str]:
    """Return the labels that a row is compared with, directly or through other rows, each once."""
    against = {one.label: one.against for one in rows}
    found: list[str] = []
    label = row.against
    while label in against and label not in found:
        assert label is not None
        found.append(label)
        label = against[label]
    return found


def check_row(row: BenchRow) -> None:
    """Check the model and its options, by asking its own configuration, and that the back-end has the precision.

    Raises InputError where they do not go together.
    """
    check_backend(row.backend, row.precision, "cpu")
    if row.model not in PEERS:
        resolve_config(row.model, **row.options)
    elif row.backend != EAGER or row.options:
        raise InputError(f"{row.model} is a peer: it is timed as its library makes it, eager and without options")
    elif row.scope != "model" and not PEERS[row.model].gives_heatmaps:
        raise InputError(f"{row.model} gives no heatmaps, so its scope can only be model")


def timings(bench: Bench, catalog: Catalog, device: Device) -> list[Timing]:
    """Return every row with its identity on `device`."""
    found = []
    for row in bench.rows:
        identity = {
            "measure": BENCH,
            "version": VERSION,
            "model": describe_peer(row.model) if row.model in PEERS else model_identity(row.model, row.options),
            "batch_size": row.batch_size or bench.batch_size,
            "backend": row.backend,
            "precision": row.precision,
            "scope": row.scope,
            "device": device.name,
            "threads": device.threads,
        }
        if row.scope == "end-to-end":
            identity["dataset"] = catalog.data_identity(bench.data)
        lacking = missing_package(row.model) if row.model in PEERS else missing_extra(row.backend, row.precision)
        if row.backend not in (EAGER, COMPILED) and device.kind != "cpu":
            lacking = f"backend {row.backend} runs on the CPU here"
        found.append(Timing(row, identity, lacking))
    return found


def sessions(timed: Sequence[Timing]) -> list[list[Timing]]:
    """Return what is timed together: rows set against each other, directly or through others, in the spec's order.

    The models of one session are in memory at once.
    """
    rows = [one.row for one in timed]
    groups: dict[str, list[Timing]] = {}
    for one in timed:
        last = (one.row.label, *chain(one.row, rows))[-1]
        groups.setdefault(last, []).append(one)
    return list(groups.values())


def deployments(bench: Bench) -> list[Deployment]:
    """Return the trained model on every back-end, each with why it cannot be measured here, where it cannot."""
    chosen = bench.deployed
    catalog = open_catalog(chosen.tier)
    weights, lacking = catalog.weights_path(chosen.model), catalog.absence(chosen.data)
    try:
        catalog.weights(chosen.model)
    except Blocked as reason:
        lacking = str(reason)
    shared = {
        "measure": DEPLOYED,
        "version": VERSION,
        "model": model_identity(chosen.model, chosen.options),
        "weights_sha256": catalog.sha256(weights) if weights.exists() else None,
        "dataset": catalog.data_identity(chosen.data),
    }
    return [
        Deployment(
            row,
            weights,
            {**shared, "backend": row.backend, "precision": row.precision},
            lacking or missing_extra(row.backend, row.precision),
        )
        for row in chosen.rows
    ]


def missing_extra(backend: str, precision: str) -> str | None:
    """Return why a back-end is not to be had here; None where it is."""
    extra, modules = PACKAGES.get(backend, ("", ()))
    if precision == "int8" and backend != "onnxruntime":
        # ONNX Runtime quantises the graphs of others as well
        extra, modules = f"{extra},onnx", (*modules, "onnxruntime")
    if any(find_spec(module) is None for module in modules):
        return f"backend {backend} is not installed: pip install 'sharpose[{extra}]'"
    return None
