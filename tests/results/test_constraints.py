"""`constraints.txt` holds the versions that published records name; its header says which others there are."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OTHERS = re.compile(r"^# (.+): (\d+) of the (\d+) records of (\w+)", re.MULTILINE)
"""A line of the header: packages with their versions, and how many records of a measure were made with them."""


def test_every_version_behind_a_published_record_is_held_or_named():
    text = (ROOT / "constraints.txt").read_text()
    lines = [line.split("==") for line in text.splitlines() if not line.startswith("#")]
    held = {canonicalize_name(name): version for name, version in lines}
    (held["python"],) = re.findall(r"Python was (\S+)\. ", text)
    measures: Counter[str] = Counter()
    found: Counter[tuple[str, str, str]] = Counter()
    for path in (ROOT / "results/published").glob("*/*.json"):
        record = json.loads(path.read_text())
        measures[record["measure"]] += 1
        for name, version in record["provenance"]["versions"].items():
            if held.get(canonicalize_name(name)) != version:
                found[record["measure"], name, version] += 1
    assert measures.total() > 600
    named: Counter[tuple[str, str, str]] = Counter()
    for packages, records, of_all, measure in OTHERS.findall(text):
        assert int(of_all) == measures[measure]
        for package in packages.split(" and "):
            name, version = package.split()
            named[measure, name, version] = int(records)
    assert found == named
