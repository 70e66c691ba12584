"""What has to be known to read a table: how its numbers were made, and why there are dashes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from analysis.tables.lines import (
    Line,
    compare_records,
    compared_row,
    grouped,
    previous_difference,
    records_of,
    relative_speed,
    stored_devices,
    timed_together,
)
from analysis.tables.statistics import LEAST_MARGINS, LEVEL, MARGIN, replicates_of, score_of, spread_text
from analysis.tables.trainings import over_trainings, race_text, started_alike, training_of
from experiments.cells.cells import PAPER_SIZE, Cell
from experiments.cells.provenance import Device
from experiments.spec.catalog import EMBEDDED, NO_WEIGHTS, Catalog
from experiments.spec.spec import LoadedSpec
from results.records import Record
from results.store import Store
from sharpose.evaluation.metrics.significance import POWER, Comparison, holm
from sharpose.models.registry import recorded_cost

DASH = "–"
NAMES = {"ap": "AP", "pckh": "PCKh@.5"}
MOST_NAMES = 4
MARKS = {
    "noisy": ("~", "noisy: the samples spread too widely to rank this row."),
    "throttled": ("‡", "measured while the machine was slowed, by throttled clocks or by other guests of its host."),
}
"""Flags of a speed's record by the mark they put behind it, and what that says."""
APART = "†"
EXPECTED_COST = (
    "GFLOPs (expected): multiply-adds per person by the closed form, from how many people were refined, and with how "
    "many patches, when AP was measured."
)


def marked(text: str, flags: Mapping[str, Any]) -> str:
    """Return a speed with the marks of what disturbed it."""
    return " ".join([text, *(mark for flag, (mark, _) in MARKS.items() if flags.get(flag))])


def marks_text(records: Iterable[Record]) -> list[str]:
    """Return the meaning of every mark that some record of a speed has."""
    seen = [record.metrics for record in records]
    return [f"{mark} {said}" for flag, (mark, said) in MARKS.items() if any(one.get(flag) for one in seen)]


def footer_of_rows(
    loaded: LoadedSpec, lines: list[Line], below: int, catalog: Catalog, device: Device, store: Store
) -> list[str]:
    """Return what has to be known to read a table of kind rows, of which the last `below` are not in the comparison."""
    return [
        *accuracy_text(lines),
        *test_sets_text(lines),
        *(race_text(loaded, lines, catalog, below) if any("accuracy" in line.cells for line in lines) else []),
        *paired_text(loaded, lines),
        *pairs_text(loaded, lines),
        *seeds_text(loaded, lines),
        *cost_text(lines),
        *([EXPECTED_COST] if "gflops_expected" in loaded.spec.columns else []),
        *speed_text(loaded, lines, device, store),
        *paper_speed_text(loaded, lines),
        *missing_text(lines),
        *without_pck_text(loaded, lines, catalog),
        *not_asked_text(loaded, lines),
        *loaded.spec.notes,
    ]


def accuracy_text(lines: list[Line]) -> list[str]:
    """Return what stands behind the AP or PCKh column."""
    records = records_of(lines, "accuracy")
    if not records:
        return []
    # no control and no peer, wherever there is a model
    trained = [record for record in records if record.identity.get("weights_sha256")] or records
    first, metrics, made = trained[0], trained[0].metrics, trained[0].provenance
    flip = "with" if first.identity["flip_test"] else "without"
    boxes = "ground-truth" if first.identity["boxes"] == "ground-truth" else "detected"
    score = score_of(metrics)
    resamples = len(replicates_of(metrics, score))
    interval = f"; [95 % bootstrap interval, {resamples:,} resamples of images]" if resamples else ""
    return [
        f"{NAMES[score]}: {first.tier} tier, {models_text(trained)} on {made.get('dataset')} ({people_text(metrics)}), "
        f"{boxes} boxes, {flip} flip test{interval}; {origin(records)}."
    ]


def people_text(metrics: Mapping[str, Any]) -> str:
    """Return how many people a record is of."""
    return f"{metrics.get('annotated_people', metrics.get('people')):,} people in {metrics['images']:,} images"


def without_pck_text(loaded: LoadedSpec, lines: list[Line], catalog: Catalog) -> list[str]:
    """Return which rows have no PCK where others have one."""
    wanted = "pck" in catalog.tier.also.get(str(loaded.spec.base.get("dataset")), {}).values()
    scored = [line for line in lines if "accuracy" in line.records]
    without = [line.row.label for line in scored if "pck" not in line.records["accuracy"].metrics]
    some = wanted and 0 < len(without) < len(scored)
    return [f"{DASH} accuracy by PCK of {', '.join(without)}: PCK is of models alone."] if some else []


def test_sets_text(lines: list[Line]) -> list[str]:
    """Return how many further people rows were measured on."""
    found = {people: one.record for line in lines for people, one in line.test_sets.items() if one.record is not None}
    sizes = [f"{people} ({people_text(record.metrics)})" for people, record in found.items()]
    return [f"The same models also on {', '.join(sizes)}; intervals likewise. PCK is of models alone."] if sizes else []


def paired_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Return the paired differences to the row before, and whether any AP fell beyond its interval."""
    labels = [line.row.label for line in lines]
    pairs = [(labels[i - 1], labels[i], previous_difference(loaded, lines, i)) for i in range(1, len(lines))]
    steps = [f"{before} → {now}: {spread_text(one)}" for before, now, one in pairs if one is not None]
    fallen = ", ".join(now for _, now, one in pairs if one is not None and one.high < 0)
    lower = f"lower than the row before, beyond the interval: {fallen}" if fallen else ""
    steps += [lower or "none is lower beyond its interval"] if steps else []
    return [f"AP differences by paired bootstrap: {'; '.join(steps)}."] if steps else []


def pairs_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Return the comparisons that the spec names, by paired bootstrap, and what could be said of none."""
    rows = {line.row.label: line for line in lines}
    said, reach, without, unequal = [], [], [], []
    tested: list[tuple[str, Comparison, str]] = []
    for first, second in loaded.spec.pairs:
        pair = rows[first], rows[second]
        one = compare_records(*(line.records.get("accuracy") for line in pair))
        if one is None:
            without.append(f"{first} and {second}")
        elif all(map(training_of, pair)) and not started_alike(*pair):
            unequal.append(f"{first} and {second}")
        else:
            tested.append((f"{first} minus {second}", one, over_trainings(*pair)))
    for (names, one, repeated), adjusted in zip(tested, holm([one.p for _, one, _ in tested]), strict=True):
        # two digits without the leading zero
        p = "< .01" if adjusted < 0.01 else f"{adjusted:.2f}".lstrip("0")
        said.append(f"{names}: {spread_text(one)}, p {p}, {verdict(replace(one, p=adjusted))}{repeated}")
        reach.append(100 * one.detectable)
    text = []
    if said:
        name = NAMES[score_of(records_of(lines, "accuracy")[0].metrics)]
        text.append(
            f"{name} of the comparisons that this table is read for ({len(said)} measured), paired bootstrap, 95 %, p "
            f"by Holm's correction over them: {'; '.join(said)}. Equivalent: within ± {100 * MARGIN:g} (two one-sided "
            f"tests), scores from {100 * LEAST_MARGINS * MARGIN:g} on; undecided: neither shown to differ nor to be "
            f"equivalent. Smallest difference that these people would have shown in {100 * POWER:.0f} % of cases: "
            f"{span(reach)}."
        )
    text += [f"{DASH} not compared, as they had unequal starts: {', '.join(unequal)}."] if unequal else []
    return text + ([f"{DASH} not compared, as a score is missing: {', '.join(without)}."] if without else [])


def verdict(one: Comparison) -> str:
    """Return which is higher; where neither is shown to be, whether they are equivalent."""
    if one.p < 1 - LEVEL:
        return ("higher" if one.value > 0 else "lower") + (", but equivalent" if one.equivalent else "")
    return "equivalent" if one.equivalent else "undecided"


def span(values: Collection[float]) -> str:
    """Return the smallest and the largest of some numbers; one where both are written alike."""
    low, high = (f"{end(values):.1f}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def seeds_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Return which trainings stand behind a mean and its spread, and which are missing."""
    if not any(line.seeds for line in lines):
        return []
    text = (
        "AP, mean ± 95 % t-interval: the row's own system, options and α trained with seeds "
        f"{', '.join(map(str, loaded.spec.seeds))}, each with random weights and an order of people of its own, though "
        f"all may share a start that has seen no keypoint; n of {len(loaded.spec.seeds)} in brackets, and an interval "
        "from three on. Trainings that continue a pose network are not counted. Where both sides of a comparison have "
        "three, the difference of their means has its t-interval, of the differences where they are the same weights."
    )
    # what the row lacks itself is said of the row
    missing = [
        (line.row.label, seed.cell)
        for line in lines
        for seed in line.seeds
        if seed.record is None and lacks(seed.cell) != lacks(line.cells["accuracy"])
    ]
    return [
        text,
        *(
            said
            for number in loaded.spec.seeds
            for said in why_missing(f"training with seed {number}", (one for one in missing if one[1].seed == number))
        ),
    ]


def lacks(cell: Cell) -> tuple[Any, str | None]:
    """Return which number a cell is, and what it lacks."""
    return cell.identity, cell.blocked


def cost_text(lines: list[Line]) -> list[str]:
    """Return what stands behind the GFLOPs column, and how far the three counts are apart."""
    records = records_of(lines, "cost")
    if not records:
        return []
    # only what has a threshold can leave people unrefined
    refined = " with every person refined" if any("quality_threshold" in r.identity["model"] for r in records) else ""
    forms = [(recorded_cost(record.identity["model"]), record.metrics) for record in records]
    worst = 100 * max((form.disagreement(metrics) for form, metrics in forms if form is not None), default=0.0)
    agree = f"agree to {max(worst, 0.001):.3f} %" if worst <= 0.1 else f"DISAGREE by {worst:.2f} %"
    counts = "fvcore, torch's counter and the closed form"
    if without := sum(form is None for form, _ in forms):
        counts += f" (which {without} of {len(forms)} rows have none of)"
    return [
        f"GFLOPs are 1e9 multiply-adds of {models_text(records)}{refined}, by fvcore "
        f"(attention, norms and resizing included); {counts} {agree}; {origin(records)}."
    ]


def speed_text(loaded: LoadedSpec, lines: list[Line], device: Device, store: Store) -> list[str]:
    """Return what stands behind the speed columns; where nothing does, which devices have stored speeds."""
    if not any("throughput" in line.cells for line in lines):
        return []
    records = records_of(lines, "throughput")
    if not records:
        others = "; ".join(str(other) for other in stored_devices(store) if other != device)
        return [f"No speed is stored for {device}" + (f"; choose with --device: {others}." if others else ".")]
    first = records[0]
    how, rounds = first.identity, len(first.metrics.get("samples_ms", []))
    text = (
        f"Speed: {models_text(records)} on {device}, {how['precision']}, batch {how['batch_size']}, input tensor to "
        f"heatmaps, random weights, median of {rounds} rounds with all rows interleaved; {origin(records)}."
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
    """Return whether records were made on this machine or came with the repository, and when the last was made."""
    published = sum(record.published for record in records)
    whose = {0: "measured here", len(records): "published records"}.get(published, "published and local records")
    return f"{whose}, last on {max(str(record.provenance.get('utc', '?'))[:10] for record in records)}"


def paper_speed_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Return what the paper leaves open about its FPS."""
    if "images_per_s" not in loaded.spec.columns or not any(line.row.paper.images_per_s for line in lines):
        return []
    relative = "; only the ratios between rows can be set beside ours" if "speed" in loaded.spec.columns else ""
    return [
        "FPS (paper): the paper states neither the device nor what is timed; the release's script times data loading, "
        f"copy, backbone and head, without warm-up{relative}."
    ]


def models_text(records: list[Record]) -> str:
    """Return the models behind a column: their names, or how many they are."""
    different = list(dict.fromkeys(str(record.provenance.get("model")) for record in records))
    return ", ".join(different) if len(different) <= MOST_NAMES else f"{len(different)} models, one per row,"


def missing_text(lines: list[Line]) -> list[str]:
    """Return why there are dashes."""
    lacking: dict[str, list[tuple[str, Cell]]] = {
        **{f"accuracy on {people}": [] for line in lines for people in line.test_sets},
        **{measure: [] for line in lines for measure in line.cells},
    }
    for line in lines:
        # what the row lacks itself is said of the row
        for people, one in line.test_sets.items() if "accuracy" in line.records else ():
            if one.record is None:
                lacking[f"accuracy on {people}"].append((line.row.label, one.cell))
        for measure in line.cells.keys() - line.records.keys():
            lacking[measure].append((line.row.label, line.cells[measure]))
    return [said for what, cells in lacking.items() for said in why_missing(what, cells)]


def not_asked_text(loaded: LoadedSpec, lines: list[Line]) -> list[str]:
    """Return why there are dashes where nothing is missing: what rows do not ask for, or the paper does not give."""
    needed = [one for one in loaded.spec.measure if any(one in line.cells for line in lines)]
    lacking = []
    for line in lines:
        without = [measure for measure in needed if measure not in line.cells]
        without += ["further trainings"] if loaded.spec.seeds and not line.seeds else []
        lacking.append((line.row.label, " and ".join(without)))
    said = [f"{DASH} {what} of {', '.join(rows)}: not asked for." for what, rows in grouped(lacking).items() if what]
    papers = [line.row.paper.model_dump() for line in lines]
    given = {name for values in papers for name, value in values.items() if value is not None}
    silent = any(values[name] is None for values in papers for name in given & set(loaded.spec.columns))
    return said + ([f"{DASH} in a column of the paper: it gives no number there."] if silent else [])


def why_missing(what: str, lacking: Iterable[tuple[str, Cell]]) -> list[str]:
    """Return why `what` is missing of labelled cells: one text for what lacks the same, and for untrained models."""
    reasons, models = [], []
    for label, cell in lacking:
        tier = "" if cell.tier in (EMBEDDED, PAPER_SIZE) else f" --tier {cell.tier}"
        why = cell.blocked or f"not measured yet (sharpose run {cell.spec}{tier})"
        if found := NO_WEIGHTS.search(why):
            why = NO_WEIGHTS.sub("…", why)
            models.append((found[0], why))
        reasons.append((label, why))
    named = {why: ", ".join(dict.fromkeys(those)) for why, those in grouped(models).items()}
    return [
        f"{DASH} {what} of {', '.join(labels)}: {why.replace('…', named.get(why, ''))}."
        for why, labels in grouped(reasons).items()
    ]
