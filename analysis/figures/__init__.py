"""Figures from tables and stored examples: DataFrame in, Axes out. Saved as vector and PNG to results/figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import schedules
from analysis.figures.alpha import alpha_curve, switches
from analysis.figures.bench import bench
from analysis.figures.concept import concept
from analysis.figures.curves import curve_frame, curves
from analysis.figures.examples import Example, blocks, load_example, people
from analysis.figures.reduction import stored_lines, token_reduction
from analysis.figures.style import titled
from analysis.tables.bench import bench_tables
from analysis.tables.lines import other_devices
from analysis.tables.tables import Table, build_tables
from analysis.tables.trainings import curve_key
from experiments.spec.catalog import EMBEDDED, examples_folder, open_catalog, tier_folder
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec
from experiments.spec.yamlfile import SpecError
from results.logs import read_lines
from results.store import ROOT, Store

__all__ = ["Example", "alpha_curve", "concept", "load_example", "save_all"]

FOLDER = ROOT / "figures"
OPERATING_POINTS = ROOT.parent / "docs" / "operating-points.jsonl"
"""Lines of `sharpose choose-operating-point --tier TIER --json`."""
DPI = 160

# how many different batch sizes or shares make a curve
CURVE_POINTS = 3


def frontier(table: Table, axis: Axes, tier: str) -> Axes:
    """Draw a table of kind gate as a frontier."""
    # the modules of kind gate need scipy and pycocotools
    from analysis.figures import gate

    return gate.frontier(table.curves, axis, tier)


# by a spec's `figure`: the columns without which there is nothing to draw, the size in inches, and how
DRAWN: dict[str, tuple[tuple[str, ...], tuple[float, float], Callable[[Table, Axes, str], Axes]]] = {
    "alpha-curve": (("ap", "gflops"), (5.6, 3.6), lambda one, axis, tier: alpha_curve(one.frame, axis, ap(tier))),
    "semantics": (("ap",), (7.6, 3.8), lambda one, axis, tier: switches(one.frame, axis, ap(tier))),
    "tokens": (("tokens",), (7.6, 4.0), lambda one, axis, tier: schedules.tokens(one.frame, axis)),
    "counters": (("torch",), (6.4, 3.4), lambda one, axis, tier: schedules.counters(one.frame, axis)),
    "batch": (("images_per_s",), (6.4, 3.8), lambda one, axis, tier: schedules.batches(one.frame, axis)),
    "refine-rates": (("images_per_s",), (5.6, 3.6), lambda one, axis, tier: schedules.refine_rates(one.frame, axis)),
    "frontier": (("ap",), (7.2, 4.6), frontier),
}
CURVES = {"batch": "batch_size", "refine-rates": "refine_rate"}
"""What a curve is over; it needs `CURVE_POINTS` different ones."""


def ap(tier: str) -> str:
    return f"AP with flip test, {tier} tier"


def save_all(tier: str = "nano") -> list[Path]:
    """Save every figure that store and stored examples can show, as SVG and PNG; what lacks numbers is left out."""
    return save(all_figures(tier, "cpu", None), tier_folder(FOLDER, tier))


def save(figures: Iterator[tuple[str, Figure]], folder: Path = FOLDER) -> list[Path]:
    """Save named figures as SVG and PNG, drawn one by one; the same bytes from one drawing to the next."""
    # to files, with no window; notebooks keep the backend that shows in them
    matplotlib.use("Agg")
    paths = []
    for name, figure in figures:
        folder.mkdir(parents=True, exist_ok=True)
        svg, png = folder / f"{name}.svg", folder / f"{name}.png"
        with plt.rc_context({"svg.hashsalt": name}):
            figure.savefig(svg, bbox_inches="tight", metadata={"Date": None})
        figure.savefig(png, dpi=DPI, bbox_inches="tight")
        plt.close(figure)
        paths += [svg, png]
    return paths


def all_figures(tier: str, device: str, store: Store | None) -> Iterator[tuple[str, Figure]]:
    """Yield names and figures: those of the examples, of the trainings, of the specs, and of the bench."""
    examples = examples_folder(tier)
    # the embedded tier's ship, so there one that is missing is an error
    if tier == EMBEDDED or (examples / "person.json").exists():
        yield "concept", concept(load_example(folder=examples))
    if (examples / "blocks.json").exists():
        yield "figure2", blocks(load_example("blocks", examples))
    selected = sorted(path.stem for path in examples.glob("person-*.json"))
    if selected:
        yield "figure5", people([load_example(name, examples) for name in selected])
    yield from learning_curves(tier)
    yield from latency_figure(tier, store)
    # speeds of this machine, or of the one that most are stored of
    devices = [device, *other_devices(device, store or Store())]
    for loaded in load_specs(tier=tier):
        # cost and speed are the same at every tier
        own = tier == EMBEDDED or {"accuracy", "predictions"} & set(loaded.spec.measure)
        for one in devices if loaded.spec.figure is not None and own else ():
            (table,) = build_tables([loaded.path], tier=tier, device=one, store=store)
            if (figure := draw(loaded, table, tier)) is not None:
                yield loaded.id, figure
                break
    if tier == EMBEDDED:
        benches = (list(bench_figure(bench_tables(device=one, store=store))) for one in devices)
        yield from next((figures for figures in benches if figures), [])
        if lines := stored_lines():
            yield "token-reduction", token_reduction(lines)


def learning_curves(tier: str) -> Iterator[tuple[str, Figure]]:
    """Yield the name and figure of a tier's learning curves; none where no training was followed."""
    catalog = open_catalog(tier)
    frame, people_key = curve_frame(catalog), curve_key("coco-val", catalog)
    if f"{people_key}_ap" in frame:
        yield "curves", curves(frame, people_key, tier)


def latency_figure(tier: str, store: Store | None) -> Iterator[tuple[str, Figure]]:
    """Yield AP over latency by the stages' times that were logged last at this tier; nothing where none were."""
    logged = [line for line in read_lines(OPERATING_POINTS) if line["tier"] == tier]
    if not logged:
        return
    from analysis.figures.gate import latencies
    from analysis.gate.gate import Cost
    from analysis.gate.operating_point import over_latency

    line = logged[-1]
    times = {float(alpha): Cost(line["coarse_ms"], fine) for alpha, fine in line["fine_ms"].items()}
    try:
        points = over_latency(times, tier=tier, store=store)
    except SpecError:
        # no predictions are stored
        return
    how = f"batch {line['batch_size']}{', packed' if line['packed'] else ''}"
    figure, axis = titled(f"AP over latency, {line['model']}, {how}, {line['device']}", (7.2, 4.6))
    latencies(points, axis, tier)
    yield "latency", figure


def bench_figure(tables: list[Table]) -> Iterator[tuple[str, Figure]]:
    """Yield the bench's names and figures, of its tables; none where no row has been timed."""
    speeds, kinds, *_ = tables
    if speeds.frame["macs_per_s"].notna().any():
        yield from bench(speeds.frame, kinds.frame)


def draw(loaded: LoadedSpec, table: Table, tier: str) -> Figure | None:
    """Draw the figure of one table, as its spec asks for; None where nothing is measured yet."""
    kind = str(loaded.spec.figure)
    if kind == "gate":
        from analysis.figures.gate import gate

        return gate(table.curves, tier) if table.curves else None
    needed, size, function = DRAWN[kind]
    if not set(needed) <= set(table.frame):
        return None
    shown = table.frame.dropna(subset=list(needed))
    if shown.empty or (kind in CURVES and shown[CURVES[kind]].nunique() < CURVE_POINTS):
        return None
    figure, axis = titled(table.title, size)
    function(table, axis, tier)
    return figure
