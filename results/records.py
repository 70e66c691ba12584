"""A record of the store: what was measured, and what determines it; its file, sealed by a sha256."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
SEAL = b',\n "sha256": "'
SEALED_TAIL = re.compile(rb'[0-9a-f]{64}"\n}\n')
RUN_ID_LENGTH = 16
SHARES = re.compile(
    r"(ap|ar)(50|75)?(_[ml])?|pck|pckh(01)?(_[a-z]+)*|(ap|pck)_(low|high|bootstrap)|refine_rate|boxes_ap"
)
"""Metrics that are fractions, from 0 to 1."""
AMOUNTS = re.compile(
    r"(\w+_)?people|images|images_(with_boxes|per_\w+)|params|macs\w*|latency_ms_\w+|\w+_per_(s|image)|samples\w*_ms"
)
"""Metrics that count or measure something, which are never below 0."""


class StoreError(ValueError):
    """A record or the store folder is unusable; the message is one line that names the file and what to do."""


class BadMetrics(StoreError):
    """What was measured is no number that a record can hold; nothing of it is stored."""


@dataclass(frozen=True)
class Record:
    """One measurement, under the id that its identity hashes to.

    `identity` is all that determines the number and hashes to `run_id`; `spec` and `row` say who asked for it first;
    `provenance` says how, when and where it was made.
    """

    identity: dict[str, Any]
    metrics: dict[str, Any]
    spec: str
    row: str
    tier: str
    provenance: dict[str, Any] = field(default_factory=dict)
    published: bool = False

    @property
    def run_id(self) -> str:
        """Return the hash of the identity, which names the record's file."""
        return run_id(self.identity)

    @property
    def measure(self) -> str:
        """Return what was measured, a part of the identity."""
        return self.identity["measure"]


def run_id(identity: Mapping[str, Any]) -> str:
    """16 hex digits of the sha256 of the canonical JSON of `identity`, which must name its `measure` and `version`.

    Key order does not matter, and neither does 1 against 1.0 or a tuple against a list. Raises StoreError where it does
    not name these.
    """
    for key in ("measure", "version"):
        if key not in identity:
            raise StoreError(f"an identity without {key!r} cannot name a record")
    text = json.dumps(canonical(identity), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:RUN_ID_LENGTH]


def canonical(value: Any) -> Any:
    """`value` with one spelling per meaning: lists for tuples, whole floats as integers. TypeError for other types."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("an identity has text keys only")
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be part of an identity")


def encode(record: Record) -> bytes:
    """Return the file of a record: one line per field, so that differences read well, and a seal at the end."""
    fields = {
        "format": FORMAT,
        "run_id": record.run_id,
        "measure": record.measure,
        "spec": record.spec,
        "row": record.row,
        "tier": record.tier,
        "identity": canonical(record.identity),
        "metrics": record.metrics,
        "provenance": record.provenance,
    }
    body = "{\n" + ",\n".join(f" {json.dumps(key)}: {block(value)}" for key, value in fields.items())
    sealed = body.encode()
    return sealed + SEAL + hashlib.sha256(sealed).hexdigest().encode() + b'"\n}\n'


def block(value: Any) -> str:
    """Return JSON with one line per entry of an object, so that git shows and merges changes line by line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, allow_nan=False)
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in value.items()) + "\n }"


def read(path: Path, *, published: bool = False) -> Record:
    """Return the record in `path`.

    Raises FileNotFoundError when it is absent, StoreError when it is not exactly what was written.
    """
    way_out = "git checkout it" if published else "delete it to measure again"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); {way_out}") from None
    if (newer := format_of(raw)) > FORMAT:
        raise StoreError(f"{path}: a newer version wrote this record (format {newer}); update this checkout")
    body, _, tail = raw.rpartition(SEAL)
    if not SEALED_TAIL.fullmatch(tail) or hashlib.sha256(body).hexdigest().encode() != tail[:64]:
        raise StoreError(f"{path}: this record is truncated or was changed after it was written; {way_out}")
    try:
        fields = json.loads(raw, parse_constant=refuse_constant)
        named = {key: fields[key] for key in ("identity", "metrics", "spec", "row", "tier", "provenance")}
        record = Record(**named, published=published)
        if not all(isinstance(named[key], kind) for key, kind in KINDS.items()):
            raise TypeError
        matches = fields["format"] == FORMAT and path.stem == record.run_id and path.parent.name == record.measure
    except (KeyError, TypeError, ValueError, RecursionError):
        raise StoreError(f"{path}: this is not a record of this store; {way_out}") from None
    if not matches:
        raise StoreError(f"{path}: this record's content belongs under another name or format; {way_out}")
    if (fault := fault_of(record.metrics)) is not None:
        raise StoreError(f"{path}: {record.spec} {record.row}: {fault}; {way_out}")
    return record


KINDS = {"metrics": dict, "spec": str, "row": str, "tier": str, "provenance": dict}


def format_of(raw: bytes) -> int:
    """Return the format that a record says it has, sealed as we do it or not; 0 where it is no JSON or says none."""
    said = re.search(rb'"format": ?(\d{1,9})\b', raw[:1000])
    if said is None or int(said[1]) <= FORMAT:
        return 0
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return 0
    found = fields.get("format") if isinstance(fields, dict) else None
    return found if isinstance(found, int) else 0


def refuse_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which JSON does not have and Python would read."""
    raise ValueError(f"{name} is no number")


def fault_of(metrics: Mapping[str, Any]) -> str | None:
    """The first metric that is no finite number, or of another type or range than its name means; None: all are."""
    for name, value in metrics.items():
        if not finite(value):
            return f"{name} is no finite number"
        values = value if isinstance(value, list) else [value]
        if SHARES.fullmatch(name) and not all(map(is_share, values)):
            return f"{name} = {str(value)[:60]} must be a number from 0 to 1"
        if AMOUNTS.fullmatch(name) and not all(map(is_amount, values)):
            return f"{name} = {str(value)[:60]} must be a number that is not below 0"
    return None


def finite(value: Any) -> bool:
    """Return whether JSON has a number for every number in `value`."""
    if isinstance(value, Mapping):
        return all(map(finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def is_amount(value: Any) -> bool:
    """Return whether `value` is a number from 0 on, or None for what could not be measured."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)


def is_share(value: Any) -> bool:
    """Return whether a value is a number from 0 to 1, or None."""
    return is_amount(value) and (value is None or value <= 1)


def checked_id(name: str) -> str:
    """Return `name` when it can be a record's name. Raises StoreError otherwise, so that no path leaves the store."""
    if not re.fullmatch(rf"[0-9a-f]{{{RUN_ID_LENGTH}}}", name):
        raise StoreError(
            f"{name!r} is not a run id ({RUN_ID_LENGTH} hex digits); `sharpose status --all --json` lists them"
        )
    return name
