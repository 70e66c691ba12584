"""What has to be known to read a table: how its numbers were made, and why there are dashes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from analysis.tables.lines import (
    Line,
    compared_pairs,
    compared_row,
    previous_difference,
    relative_speed,
    stored_devices,
    timed_together,
)
from analysis.tables.statistics import MARGIN, replicates_of, score_of
from experiments.cells.cells import PAPER_SIZE, Cell
from experiments.cells.provenance import Device
from experiments.spec.catalog import EMBEDDED
from experiments.spec.spec import LoadedSpec
from results.records import Record
from results.store import Store
from sharpose.evaluation.metrics.significance import POWER
from sharpose.models.registry import recorded_cost

DASH = "–"
NAMES = {"ap": "AP", "pckh": "PCKh@.5"}
OTHER_SCORES = {"ap50": "AP50", "ap75": "AP75", "ap_m": "AP_M", "ap_l": "AP_L", "ar": "AR"}
NO_WEIGHTS = re.compile(r"no (shared )?weights of (\S+) \((.+)\)")
SHARED = "shared"
MOST_NAMES = 4
MARKS = {
    "noisy": ("~", "noisy: the samples spread too widely to rank this row."),
    "throttled": (
        "‡",
        "measured while the machine was slowed, by throttled clocks or by other guests of its host.",
    ),
}
"""Flags of a speed's record by the mark they put behind it, and what that says."""
APART = "†"


def marked(text: str, flags: Mapping[str, Any]) -> str:
    """A speed with the marks of what disturbed it."""
    return " ".join([text, *(mark for flag, (mark, _) in MARKS.items() if flags.get(flag))])


def marks_text(records: Iterable[Record]) -> list[str]:
    """What the marks say that some record of a speed has."""
    seen = [record.metrics for record in records]
    return [f"{mark} {said}" for flag, (mark, said) in MARKS.items() if any(one.get(flag) for one in seen)]


def accuracy_text(lines: list[Line]) -> list[str]:
    """What stands behind the AP or PCKh column."""
    records = [line.records["accuracy"] for line in lines if "accuracy" in line.records]
    if not records:
        return []
    # a control or a peer comes after the models
    first, metrics, made = records[0], records[0].metrics, records[0].provenance
    flip = "with" if first.identity["flip_test"] else "without"
    boxes = "ground-truth boxes" if first.identity["boxes"] == "ground-truth" else "detected boxes"
    score = score_of(metrics)
    resamples = len(replicates_of(metrics, score))
    interval = f"; [95 % bootstrap interval, {resamples:,} resamples of images]" if resamples else ""
    size = f"{metrics['annotated_people']:,} people in {metrics['images']:,} images"
    trained = [record for record in records if record.identity.get("weights_sha256")] or records
    models = models_text(trained)
    return [
        f"{NAMES[score]}: {first.tier} tier, {models} on {made.get('dataset')} ({size}), {boxes}, {flip} flip test"
        f"{interval}; {origin(records)}."
    ]


def intervals_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Which scores beside AP have no interval, as their records are older than those of all six figures."""
    shown = [name for name in loaded.spec.columns if name in OTHER_SCORES]
    measured = [(line.row.label, line.records["accuracy"].metrics) for line in lines if "accuracy" in line.records]
    without = [label for label, metrics in measured if any(metrics.get(f"{name}_low") is None for name in shown)]
    if not without:
        return []
    names = ", ".join(OTHER_SCORES[name] for name in shown)
    return [
        f"{names} of {', '.join(without)}: no interval, as their records hold replicates of AP alone "
        f"(sharpose run {loaded.id} --measure accuracy --again measures all)."
    ]


def test_sets_text(lines: list[Line]) -> list[str]:
    """How many further people rows were measured on."""
    found = {people: one.record for line in lines for people, one in line.test_sets.items() if one.record is not None}
    sizes = [
        f"{people} ({record.metrics['annotated_people']:,} people in {record.metrics['images']:,} images)"
        for people, record in found.items()
    ]
    return [f"The same models also on {', '.join(sizes)}; intervals likewise. PCK is of models alone."] if sizes else []


def shared_manifests(cells: Iterable[Cell]) -> dict[str, Any]:
    """The manifests of those weights that were trained with the shared budget, by name."""
    paths = [cell.weights for cell in cells if cell.weights is not None and cell.weights.parent.name == SHARED]
    return {path.stem: json.loads(path.with_suffix(".json").read_bytes()) for path in paths}


def crops_text(manifests: Iterable[Mapping[str, Any]]) -> str:
    """How many crops trainings have seen."""
    seen = sorted({facts["steps"] * facts["recipe"]["batch_size"] for facts in manifests})
    return f"{seen[0]:,} crops each" if len(seen) == 1 else f"{seen[0]:,} to {seen[-1]:,} crops, NOT the same for all"


def paired_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """The paired differences to the row before, and whether any AP fell beyond its interval."""
    pairs = [
        (lines[i - 1].row.label, lines[i].row.label, previous_difference(loaded, lines, i))
        for i in range(1, len(lines))
    ]
    said = [(a, b, d) for a, b, d in pairs if d is not None]
    if not said:
        return []
    steps = "; ".join(f"{a} → {b}: {100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]" for a, b, d in said)
    fallen = [b for _, b, d in said if d.high < 0]
    verdict = (
        f"lower than the row before, beyond the interval: {', '.join(fallen)}"
        if fallen
        else "none is lower beyond its interval"
    )
    return [f"AP differences by paired bootstrap: {steps}; {verdict}."]


def pairs_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """The comparisons that the spec names, by paired bootstrap, and what could be said of none."""
    pairs = compared_pairs(loaded, lines)
    said, reach = [], []
    for pair in pairs:
        if pair.tested is None or pair.p is None:
            continue
        one = pair.tested
        numbers = f"{100 * one.value:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}], p {p_text(pair.p)}"
        said.append(f"{pair.first} minus {pair.second}: {numbers}, {pair.verdict}")
        reach.append(100 * pair.tested.detectable)
    records = [line.records["accuracy"] for line in lines if "accuracy" in line.records]
    name = NAMES[score_of(records[0].metrics)] if records else ""
    text = []
    if said:
        text.append(
            f"{name} of the comparisons that this table is read for ({len(said)} measured), paired bootstrap, 95 %, p "
            f"by Holm's correction over them: {'; '.join(said)}. Equivalent: within ± {100 * MARGIN:g} (two one-sided "
            "tests); undecided: neither shown to differ nor to be equivalent. Smallest difference that these people "
            f"would have shown in {100 * POWER:.0f} % of cases: {span(reach)}."
        )
    open_pairs = [f"{pair.first} and {pair.second}" for pair in pairs if pair.tested is None]
    return text + ([f"{DASH} not compared, as a score is missing: {', '.join(open_pairs)}."] if open_pairs else [])


def p_text(p: float) -> str:
    """Return a p value in two digits, without the leading zero; `< .01` below that."""
    return "< .01" if p < 0.01 else f"{p:.2f}".lstrip("0")


def span(values: Iterable[float]) -> str:
    """The smallest and the largest of some numbers."""
    low, high = (f"{end(values):.1f}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def seeds_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Which trainings stand behind mean and deviation, and which are missing."""
    seeds = [(line, seed) for line in lines for seed in line.seeds]
    if not seeds:
        return []
    made = shared_manifests(seed.cell for _, seed in seeds)
    own = shared_manifests(line.cells["accuracy"] for line, _ in seeds)
    budget = f"the shared training budget{f' ({crops_text(made.values())})' if made else ''}"
    text = (
        f"AP, mean ± sd: the row's own system, options and α trained with {budget}, seeds "
        f"{', '.join(map(str, loaded.spec.seeds))}; sample standard deviation over those present, n of "
        f"{len(loaded.spec.seeds)} in brackets; from three on [95 % t-interval of the mean]."
    )
    begun = {init["sha256"] for facts in made.values() if (init := facts.get("init")) is not None}
    if len(begun) == 1:
        text += (
            " All began with the same trained weights, so this is how fine-tunings differ, not trainings from scratch."
        )
    apart = [] if own else ["The AP column is of other weights, not of these trainings."]
    return [" ".join([text, *apart]), *missing_seeds_text(loaded, lines)]


def own_seeds_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Which trainings from their own random weights stand behind a mean and its interval, and which are missing."""
    if not any(line.seeds for line in lines):
        return []
    seeds = ", ".join(map(str, loaded.spec.seeds))
    text = (
        f"AP, mean ± 95 % t-interval: the row's own system, options and α trained with seeds {seeds}, each from random "
        f"weights of its own; n of {len(loaded.spec.seeds)} in brackets, and an interval from three on. Trainings that "
        "share a start are not counted."
    )
    return [text, *missing_seeds_text(loaded, lines)]


def missing_seeds_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """The further trainings that are missing."""
    # what the row lacks itself is said of the row
    missing = [
        (line.row.label, seed.cell)
        for line in lines
        for seed in line.seeds
        if seed.record is None and not same_cell(seed.cell, line.cells["accuracy"])
    ]
    return [
        said
        for number in loaded.spec.seeds
        for said in why_missing(f"training with seed {number}", (one for one in missing if one[1].seed == number))
    ]


def same_cell(first: Cell, second: Cell) -> bool:
    """Whether two cells are one number, or lack the same."""
    return (first.identity, first.blocked) == (second.identity, second.blocked)


def cost_text(lines: list[Line]) -> list[str]:
    """What stands behind the GFLOPs column, and how far the three counts are apart."""
    records = [line.records["cost"] for line in lines if "cost" in line.records]
    if not records:
        return []
    models = models_text(records)
    # only what has a threshold can leave people unrefined
    refined = " with every person refined" if any("quality_threshold" in r.identity["model"] for r in records) else ""
    forms = [(recorded_cost(record.identity["model"]), record.metrics) for record in records]
    worst = 100 * max((form.disagreement(metrics) for form, metrics in forms if form is not None), default=0.0)
    agree = f"agree to {max(worst, 0.001):.3f} %" if worst <= 0.1 else f"DISAGREE by {worst:.2f} %"
    counts = "fvcore, torch's counter and the closed form"
    if without := sum(form is None for form, _ in forms):
        counts += f" (which {without} of {len(forms)} rows have none of)"
    return [
        f"GFLOPs are 1e9 multiply-adds of {models}{refined}, by fvcore "
        f"(attention, norms and resizing included); {counts} {agree}; {origin(records)}."
    ]


def expected_cost_text(loaded: LoadedSpec) -> list[str]:
    """How an expected cost is made."""
    if "gflops_expected" not in loaded.spec.columns:
        return []
    return [
        "GFLOPs (expected): multiply-adds per person by the closed form, from how many people were refined, and with "
        "how many patches, when AP was measured."
    ]


def speed_text(loaded: LoadedSpec, lines: list[Line], device: Device, store: Store) -> list[str]:
    """What stands behind the speed columns; where nothing does, which devices have stored speeds."""
    if not any("throughput" in line.cells for line in lines):
        return []
    records = [line.records["throughput"] for line in lines if "throughput" in line.records]
    if not records:
        others = "; ".join(str(other) for other in stored_devices(store) if other != device)
        return [f"No speed is stored for {device}" + (f"; choose with --device: {others}." if others else ".")]
    first = records[0]
    how, rounds = first.identity, len(first.metrics.get("samples_ms", []))
    model = models_text(records)
    text = (
        f"Speed: {model} on {device}, {how['precision']}, batch {how['batch_size']}, input tensor to heatmaps, "
        f"random weights, median of {rounds} rounds with all rows interleaved; {origin(records)}."
    )
    said = [text, *marks_text(records)]
    if "speed" in loaded.spec.columns:
        reference = compared_row(loaded, lines)
        timed = [line for line in lines if "throughput" in line.records]
        alone = [line.row.label for line in timed if relative_speed(line, reference) is None]
        if alone:
            rows = ", ".join(alone)
            said.append(f"{DASH} throughput of {rows} relative to {reference.row.label}: it has none on {device}.")
        elif not all(timed_together(line, reference) for line in timed):
            said.append(f"{APART} not timed in one session with the row it is compared with.")
    return said


def origin(records: list[Record]) -> str:
    """Whether records were made on this machine or came with the repository, and when the last was made."""
    published = sum(record.published for record in records)
    whose = {0: "measured here", len(records): "published records"}.get(published, "published and local records")
    return f"{whose}, last on {max(str(record.provenance.get('utc', '?'))[:10] for record in records)}"


def paper_speed_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """What the paper leaves open about its FPS."""
    if "images_per_s" not in loaded.spec.columns or not any(line.row.paper.images_per_s for line in lines):
        return []
    relative = "; only the ratios between rows can be set beside ours" if "speed" in loaded.spec.columns else ""
    return [
        "FPS (paper): the paper states neither the device nor what is timed; the release's script times data loading, "
        f"copy, backbone and head, without warm-up{relative}."
    ]


def models_text(records: list[Record]) -> str:
    """The models behind a column: their names, or how many they are."""
    different = list(dict.fromkeys(str(record.provenance.get("model")) for record in records))
    return ", ".join(different) if len(different) <= MOST_NAMES else f"{len(different)} models, one per row,"


def missing_text(lines: list[Line]) -> list[str]:
    """Why there are dashes."""
    measures = dict.fromkeys(measure for line in lines for measure in line.cells)
    sets = dict.fromkeys(people for line in lines for people in line.test_sets)
    # what the row lacks itself is said of the row
    scored = [line for line in lines if "accuracy" in line.records]
    said = []
    for people in sets:
        lacking = [(line, line.test_sets[people]) for line in scored if people in line.test_sets]
        cells = [(line.row.label, one.cell) for line, one in lacking if one.record is None]
        said += why_missing(f"accuracy on {people}", cells)
    for measure in measures:
        without = [line for line in lines if measure in line.cells and measure not in line.records]
        said += why_missing(measure, [(line.row.label, line.cells[measure]) for line in without])
    return said


def not_asked_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Why there are dashes where nothing is missing: what rows do not ask for, and what the paper does not give."""
    needed = [one for one in loaded.spec.measure if any(one in line.cells for line in lines)]
    lacking: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        without: tuple[str, ...] = tuple(measure for measure in needed if measure not in line.cells)
        without += ("further trainings",) if loaded.spec.seeds and not line.seeds else ()
        if without:
            lacking.setdefault(without, []).append(line.row.label)
    said = [f"{DASH} {' and '.join(without)} of {', '.join(rows)}: not asked for." for without, rows in lacking.items()]
    papers = [line.row.paper.model_dump() for line in lines]
    given = {name for values in papers for name, value in values.items() if value is not None}
    silent = any(values[name] is None for values in papers for name in given & set(loaded.spec.columns))
    return said + ([f"{DASH} in a column of the paper: it gives no number there."] if silent else [])


def why_missing(what: str, lacking: Iterable[tuple[str, Cell]]) -> list[str]:
    """Why `what` is missing of labelled cells: one text for all that lack the same, and for all untrained models."""
    labels: dict[str, list[str]] = {}
    models: dict[str, list[str]] = {}
    for label, cell in lacking:
        tier = "" if cell.tier in (EMBEDDED, PAPER_SIZE) else f" --tier {cell.tier}"
        why = cell.blocked or f"not measured yet (sharpose run {cell.spec}{tier})"
        found = NO_WEIGHTS.fullmatch(why)
        if found:
            why = f"no {found[1] or ''}weights of … ({found[3]})"
            models.setdefault(why, []).append(found[2])
        labels.setdefault(why, []).append(label)
    return [
        f"{DASH} {what} of {', '.join(those)}: {why.replace('…', ', '.join(dict.fromkeys(models.get(why, []))))}."
        for why, those in labels.items()
    ]
