"""What the paper says with a number in it, ours beside it, and a verdict (`python -m analysis.tables.findings`).

Numbers come from the specs and published records alone, so that the file is the same wherever it is written.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from analysis.gate.gate_table import GateCurve, exits_text, gate_curves, hardly_moving
from analysis.tables.bench import times_as_fast
from analysis.tables.cell_text import amount, delta_percent
from analysis.tables.claims import CLAIMS, TIERS, AllClaims, Claims, Reader
from analysis.tables.lines import Line, compare_records, records_of
from analysis.tables.markdown import markdown_table
from analysis.tables.statistics import MARGIN, score_of, spread_text
from analysis.tables.trainings import over_trainings, started_alike
from experiments.spec.yamlfile import YamlFile
from results.records import Record
from results.store import ROOT, Store, write
from sharpose.evaluation.metrics.significance import LEVEL, Comparison, holm

FINDINGS = ROOT.parent / "docs" / "findings.md"
NOWHERE = "at no tier"
UNMEASURED = "not measured"
DASH = "–"
CLOSE = 0.10
"""Fraction by which a ratio of speeds may differ from the paper's and still hold."""
EXACT = 2.0
"""Percent by which multiply-adds may differ from the paper's and still hold."""

HEAD = """# What holds so far, and what does not

For reviewers: every statement of the paper with a number in it, ours at each tier, a verdict, and the records.
Written by `python -m analysis.tables.findings` from `analysis/tables/claims.yaml`, the specs and the published records.

- **AP**: the first row minus the second, in percent, [paired 95 % bootstrap interval over images]. *Holds*: it differs
  from zero, on the paper's side. *Does not hold*: on the other, or wholly beyond ± 0.5 AP where the paper's difference
  is smaller. *Equivalent*: within ± 0.5 AP by two one-sided tests, and scores from 5 on. *Undecided*: neither.
  *Above*, *below*: the paper gives no difference. *Unequal starts*: **the rows began from different weights** (named
  below every table), so there is no verdict. Differing is judged after Holm's correction over a table's comparisons at
  a tier; intervals are of each alone.
- **Speed**: images/s of the first row over those of the second, the same back-end on both sides, on one machine
  ({device}), random weights, some pairs in two sessions;
  the paper states no device. *Holds*: within {close:.0f} % of the paper's ratio; *in part*: the same order;
  *does not hold*: the other order.
- **Cost**: 1e9 multiply-adds, by fvcore, their ratios, and parameters. *Holds*: within {exact:g} %; *in part*: a ratio
  of the same order.
- nano: small models on generated people, whose absolute AP says nothing about COCO. SHaRPose's is 2 so far; PCK in the
  tables says more.
  photos, small: photographs; a dash where nothing is trained yet.
  Speed and cost are in the first column, and are those of the paper's model sizes.
- An interval covers the choice of people, not the spread over trainings: where both rows were trained three times, the
  difference of their means stands behind it with its t-interval, of the differences where they are the same weights.
"""


@dataclass(frozen=True)
class Finding:
    """A line of the table; `ours` and the verdicts by tier, none where nothing was measured."""

    where: str
    claim: str
    paper: str
    ours: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    runs: tuple[Record, ...] = ()

    @property
    def verdict(self) -> str:
        """Return the verdict of every tier that has one; of a single one without its name."""
        if len(self.verdicts) == 1:
            return next(iter(self.verdicts.values()))
        return "; ".join(f"{tier}: {word}" for tier, word in self.verdicts.items()) or UNMEASURED


def findings(store: Store | None = None) -> str:
    """Return the file's text. Raises SpecError or StoreError with one line for what is wrong with claims or records."""
    reader = Reader(store or Store(published_only=True))
    claims = YamlFile(CLAIMS).validate(AllClaims).root
    rows = [finding for one in claims for finding in findings_of(one, reader)]
    head = HEAD.format(device=reader.devices[0], close=100 * CLOSE, exact=EXACT)
    body = [
        [row.where, row.claim, row.paper, *(row.ours.get(tier, DASH) for tier in TIERS), row.verdict, links(row.runs)]
        for row in rows
    ]
    table = markdown_table(["where", "what is said", "paper", *TIERS, "verdict", "records"], body)
    return "\n".join([head, f"{len(rows)} lines. {tally(rows)}", "", *table]) + "\n"


def tally(rows: Sequence[Finding]) -> str:
    """How often each verdict was reached, a sentence for each tier; what is true of the paper's models is nano's."""
    counts: dict[str, Counter[str]] = {tier: Counter() for tier in (*TIERS, NOWHERE)}
    for row in rows:
        for tier, word in (row.verdicts or {NOWHERE: UNMEASURED}).items():
            counts[tier][word.partition(" up to")[0]] += 1
    return " ".join(
        f"{tier.capitalize()}: {', '.join(f'{count} {word}' for word, count in words.most_common())}."
        for tier, words in counts.items()
        if words
    )


def links(records: Iterable[Record]) -> str:
    """Return records as links from docs/, each once."""
    found = [f"[{one.run_id[:6]}](../results/published/{one.measure}/{one.run_id}.json)" for one in records]
    return " ".join(dict.fromkeys(found)) or DASH


def findings_of(claims: Claims, reader: Reader) -> Iterator[Finding]:
    """Yield every line of one table."""
    yield from accuracies(claims, reader)
    for first, second in [*claims.both, *claims.speed]:
        yield speed(claims.table, first, second, reader)
    # the bench times rows of its own, of which the paper gives nothing
    rows = [] if claims.bench else reader.lines(claims.table)[1]
    for key in ("gflops", "params"):
        for line in rows:
            if (theirs := getattr(line.row.paper, key)) is not None:
                yield cost(claims.table, line, key, theirs)
    for first, second in claims.cost_ratio:
        yield cost_ratio(claims.table, first, second, reader)
    yield from statements(claims, reader)
    for first, second in claims.bench:
        yield from bench(first, second, reader)


def where(table: str) -> str:
    """Return a table's name and its raw numbers."""
    return f"[{table.removeprefix('table')}](../results/csv/{table}.csv)"


def accuracies(claims: Claims, reader: Reader) -> Iterator[Finding]:
    """Yield differences of AP or PCKh; what the paper does not say (controls) is judged by itself.

    Verdicts are by p after Holm's correction over a table's comparisons at a tier that had equal starts.
    """
    said = [Pair(first, [second]) for first, second in (*claims.both, *claims.accuracy)]
    pairs = [*said, *(Pair(first, seconds, control=True) for first, seconds in claims.controls)]
    tested = {tier: tests_of(claims.table, pairs, tier, reader) for tier in reader.catalogs}
    for number, pair in enumerate(pairs):
        one, *others = (reader.row(claims.table, label).row.paper for label in pair.labels)
        score = "pckh" if one.pckh is not None else "ap"
        values = getattr(one, score), getattr(others[0], score)
        theirs = None if None in values or pair.control else values[0] - values[1]
        ours: dict[str, str] = {}
        verdicts: dict[str, str] = {}
        runs: list[Record] = []
        for tier, tests in tested.items():
            if (found := tests[number]) is not None:
                ours[tier] = spread_text(found.tested) + found.repeated
                verdicts[tier] = judged(found.tested, theirs) if found.equal else "unequal starts"
                runs += found.records
                score = score_of(found.records[0].metrics)
        second = pair.seconds[0] if len(pair.seconds) == 1 else f"mean of {'; '.join(pair.seconds)}"
        claim = f"{({'ap': 'AP', 'pckh': 'PCKh'})[score]}, {pair.first} − {second}"
        yield Finding(
            where(claims.table), claim, DASH if theirs is None else f"{theirs:+.1f}", ours, verdicts, tuple(runs)
        )


@dataclass(frozen=True)
class Pair:
    """A row beside another, or the mean of several; control: of one training, and the paper says nothing of it."""

    first: str
    seconds: Sequence[str]
    control: bool = False

    @property
    def labels(self) -> list[str]:
        """Return the labels of all its rows."""
        return [self.first, *self.seconds]


@dataclass(frozen=True)
class Tested:
    """A difference of scores at a tier, its records, whether both sides had the same chance, and what repeats say."""

    tested: Comparison
    records: Sequence[Record]
    equal: bool
    repeated: str


def tests_of(table: str, pairs: Sequence[Pair], tier: str, reader: Reader) -> list[Tested | None]:
    """Return the tests of a table's comparisons at a tier, p corrected; None where a record is missing.

    Unequal starts leave nothing to correct or judge.
    """
    found: list[Tested | None] = []
    for pair in pairs:
        rows = [reader.row(table, label, tier) for label in pair.labels]
        records = [line.records.get("accuracy") for line in rows]
        tested = compare_records(*records)
        known = [one for one in records if one is not None]
        equal = pair.control or started_alike(rows[0], rows[1])
        repeated = "" if pair.control else over_trainings(rows[0], rows[1])
        found.append(None if tested is None else Tested(tested, known, equal, repeated))
    family = [one for one in found if one is not None and one.equal]
    adjusted = iter(holm([one.tested.p for one in family]))
    return [
        replace(one, tested=replace(one.tested, p=next(adjusted))) if one is not None and one.equal else one
        for one in found
    ]


def judged(tested: Comparison, theirs: float | None) -> str:
    """Return the verdict on a difference; theirs: the paper's, None where it gives none."""
    if tested.p >= LEVEL:
        return "equivalent" if tested.equivalent else "undecided"
    if theirs is None:
        return ("above" if tested.value > 0 else "below") + (", but equivalent" if tested.equivalent else "")
    if theirs == 0:
        return "holds" if tested.equivalent else "does not hold"
    if abs(theirs) < 100 * MARGIN and min(abs(tested.low), abs(tested.high)) > MARGIN:
        return "does not hold"
    return "holds" if tested.value * theirs > 0 else "does not hold"


def paper_size(
    table: str, claim: str, paper: str, ours: str | None, verdict: str = "", records: Sequence[Record] = ()
) -> Finding:
    """Return a line on the paper's own sizes, which stands at the first tier; ours: None where it was not measured."""
    if ours is None:
        return Finding(where(table), claim, paper)
    return Finding(where(table), claim, paper, {"nano": ours}, {"nano": verdict}, tuple(records))


def ratio(
    table: str, claim: str, papers: Sequence[float | None], ours: float | None, close: float, records: Sequence[Record]
) -> Finding:
    """Return a ratio of two rows beside that of the paper's two numbers, which holds within `close`, a share."""
    theirs = papers[0] / papers[1] if papers[0] and papers[1] else None
    if ours is None or theirs is None:
        return paper_size(table, claim, DASH if theirs is None else f"{theirs:.2f} ×", None)
    alike, order = abs(ours / theirs - 1) <= close, (ours > 1) == (theirs > 1)
    verdict = "holds" if alike else "in part" if order else "does not hold"
    return paper_size(table, claim, f"{theirs:.2f} ×", f"{ours:.2f} ×", verdict, records)


def speed(table: str, first: str, second: str, reader: Reader) -> Finding:
    """Return a ratio of speeds, on the first device that has both; on another than the first of all, with its name."""
    papers = [reader.row(table, label).row.paper.images_per_s for label in (first, second)]
    for device in reader.devices:
        pair = [reader.row(table, label, device=device) for label in (first, second)]
        records = records_of(pair, "throughput")
        if len(records) == 2:
            place = "" if device == reader.devices[0] else f" on {device}"
            claim = f"speed{place}, {first} ÷ {second}"
            return ratio(table, claim, papers, times_as_fast(*records), CLOSE, records)
    return ratio(table, f"speed, {first} ÷ {second}", papers, None, CLOSE, ())


def cost(table: str, line: Line, key: str, theirs: float) -> Finding:
    """Return a row's multiply-adds (`gflops`) or parameters (`params`, in millions)."""
    ours, delta = amount(line, key), delta_percent(line, key)
    name = {"gflops": "GFLOPs", "params": "M parameters"}[key]
    claim = f"{name}, {'α = ' if table.startswith('table6') else ''}{line.row.label}"
    verdict = "holds" if delta is not None and abs(delta) <= EXACT else "does not hold"
    shown = None if ours is None else f"{ours:.2f}"
    return paper_size(table, claim, f"{theirs:g}", shown, verdict, records_of([line], "cost"))


def cost_ratio(table: str, first: str, second: str, reader: Reader) -> Finding:
    """Return multiply-adds of one row over those of another, as sentences such as "a quarter fewer" have it."""
    pair = [reader.row(table, label) for label in (first, second)]
    one, other = (amount(line, "gflops") for line in pair)
    ours = one / other if one and other else None
    papers = [line.row.paper.gflops for line in pair]
    return ratio(table, f"GFLOPs, {first} ÷ {second}", papers, ours, EXACT / 100, records_of(pair, "cost"))


def statements(claims: Claims, reader: Reader) -> Iterator[Finding]:
    """How far "fewer refined, AP falls, AP50 and AP75 hardly move" of Figure 6 holds, and what exits are worth."""
    for label in claims.statement:
        lines = {tier: reader.row(claims.table, label, tier) for tier in reader.catalogs}
        curves = {
            tier: curve
            for tier, line in lines.items()
            for curve in gate_curves(reader.lines(claims.table, tier)[0], [line], reader.store)
        }
        runs = tuple(record for tier in curves for record in records_of([lines[tier]], "predictions"))
        fewer = {tier: fewer_refined(curve) for tier, curve in curves.items()}
        verdicts = {tier: f"holds {text.partition(':')[0]}" for tier, text in fewer.items()}
        claim = f"{label}: fewer refined, AP falls, AP50 and AP75 hardly move"
        yield Finding(where(claims.table), claim, "a curve", fewer, verdicts, runs)
        worth = {
            tier: f"{exits_text(curve)}; R² of the quality {curve.calibration.explained:.2f}"
            for tier, curve in curves.items()
        }
        ours = dict.fromkeys(worth, "ours")
        yield Finding(where(claims.table), f"{label}: what early exits cost", DASH, worth, ours, runs)


def fewer_refined(curve: GateCurve) -> str:
    """Return up to which share of early exits AP50 and AP75 hardly move, and what AP has lost there."""
    far, lost = hardly_moving(curve.frame)
    # no minus before a zero
    change = f"{round(-lost, 1) + 0.0:.1f}".replace("-", "−")
    return f"up to {far:.0f} % early exits: AP {change}, AP50 and AP75 −0.1"


def bench(first: str, second: str, reader: Reader) -> Iterator[Finding]:
    """Yield a ratio of the bench on every machine that has both."""
    found: dict[str, dict[str, Record]] = {}
    for record in reader.store.records("bench"):
        found.setdefault(str(record.provenance.get("device")), {})[record.row] = record
    for device, rows in sorted(found.items()):
        if first in rows and second in rows:
            pair = rows[first], rows[second]
            same = pair[0].identity["backend"] == pair[1].identity["backend"] and "Hugging Face" not in second
            how = "same back-end" if same else "as each ships"
            claim = f"speed on {device}, {first} ÷ {second} ({how})"
            yield paper_size("bench", claim, DASH, f"{times_as_fast(*pair):.2f} ×", "ours", pair)


def main() -> None:
    """Write docs/findings.md, or print it with `--print`."""
    text = findings()
    if "--print" in sys.argv[1:]:
        print(text, end="")
    else:
        print(write(FINDINGS, text.encode()))


if __name__ == "__main__":
    main()
