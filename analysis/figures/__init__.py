"""Figures from tables and stored examples: DataFrame in, Axes out. Saved as vector and PNG to results/figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import alpha, schedules
from analysis.figures.alpha import alpha_curve
from analysis.figures.bench import bench
from analysis.figures.concept import concept
from analysis.figures.curves import curve_frame, curves
from analysis.figures.examples import Example, blocks, load_example, people
from analysis.figures.reduction import stored_lines, token_reduction
from analysis.figures.style import head
from analysis.tables.bench import bench_tables
from analysis.tables.lines import other_devices
from analysis.tables.tables import Table, build_tables
from experiments.spec.catalog import EMBEDDED, examples_folder, open_catalog, tier_folder
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec
from results.store import ROOT, Store

__all__ = ["Example", "alpha_curve", "concept", "load_example", "save_all"]

FOLDER = ROOT / "figures"
DPI = 160

# how many different batch sizes or shares make a curve
CURVE_POINTS = 3

# by a spec's `figure`: the columns without which there is nothing to draw, the size in inches, and how
DRAWN: dict[str, tuple[tuple[str, ...], tuple[float, float], Callable[[Any, Axes, str], Axes]]] = {
    "alpha-curve": (("ap", "gflops"), (5.6, 3.6), lambda frame, axis, tier: alpha.alpha_curve(frame, axis, ap(tier))),
    "semantics": (("ap",), (7.6, 3.8), lambda frame, axis, tier: alpha.switches(frame, axis, ap(tier))),
    "tokens": (("tokens",), (7.6, 4.0), lambda frame, axis, tier: schedules.tokens(frame, axis)),
    "counters": (("torch",), (6.4, 3.4), lambda frame, axis, tier: schedules.counters(frame, axis)),
    "batch": (("images_per_s",), (6.4, 3.8), lambda frame, axis, tier: schedules.batches(frame, axis)),
    "refine-rates": (("images_per_s",), (5.6, 3.6), lambda frame, axis, tier: schedules.refine_rates(frame, axis)),
}


def ap(tier: str) -> str:
    return f"AP with flip test, {tier} tier"


def save_all(tier: str = "nano") -> list[Path]:
    """Every figure that the store and the stored examples can show, as SVG and PNG; what lacks numbers is left out."""
    return save(all_figures(tier, "cpu", None), tier_folder(FOLDER, tier))


def save(figures: Iterator[tuple[str, Figure]], folder: Path = FOLDER) -> list[Path]:
    """Named figures as SVG and PNG, drawn one by one."""
    # to files, with no window; notebooks keep the backend that shows in them
    matplotlib.use("Agg")
    return [path for name, figure in figures for path in save_one(figure, name, folder)]


def save_one(figure: Figure, name: str, folder: Path) -> list[Path]:
    """The figure as SVG and PNG, the same bytes from one drawing to the next; it is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}{suffix}" for suffix in (".svg", ".png")]
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(paths[0], bbox_inches="tight", metadata={"Date": None})
    figure.savefig(paths[1], dpi=DPI, bbox_inches="tight")
    plt.close(figure)
    return paths


def all_figures(tier: str, device: str, store: Store | None) -> Iterator[tuple[str, Figure]]:
    """Names and figures: those of the examples, of the trainings, of the specs, and of the bench."""
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
    # speeds of this machine, or of the one that most are stored of
    devices = [device, *other_devices(device, store or Store())]
    for loaded in load_specs(tier=tier):
        # cost and speed are the same at every tier
        if loaded.spec.figure is not None and (
            tier == EMBEDDED or {"accuracy", "predictions"} & set(loaded.spec.measure)
        ):
            drawn = (
                draw(loaded, build_tables([loaded.path], tier=tier, device=one, store=store)[0], tier)
                for one in devices
            )
            figure = next((one for one in drawn if one is not None), None)
            if figure is not None:
                yield loaded.id, figure
    if tier == EMBEDDED:
        benches = (list(bench_figure(bench_tables(device=one, store=store))) for one in devices)
        yield from next((figures for figures in benches if figures), [])
        if lines := stored_lines():
            yield "token-reduction", token_reduction(lines)


def learning_curves(tier: str) -> Iterator[tuple[str, Figure]]:
    """The name and figure of a tier's learning curves; none where no training was followed."""
    catalog = open_catalog(tier)
    name = catalog.people("coco-val") or ""
    frame, people_key = curve_frame(catalog), (catalog.dataset(name).photos or name) if name else ""
    if f"{people_key}_ap" in frame:
        yield "curves", curves(frame, people_key, tier)


def bench_figure(tables: list[Table]) -> Iterator[tuple[str, Figure]]:
    """The bench's names and figures, of its tables; none where no row has been timed."""
    speeds, kinds, *_ = tables
    if speeds.frame["macs_per_s"].notna().any():
        yield from bench(speeds.frame, kinds.frame)


def draw(loaded: LoadedSpec, table: Table, tier: str) -> Figure | None:
    """The figure of one table, as its spec asks for; None where nothing is measured yet."""
    kind = loaded.spec.figure
    if kind in ("gate", "frontier"):
        return draw_gate(kind, table, tier)
    needed, size, function = DRAWN[str(kind)]
    if not all(name in table.frame for name in needed) or table.frame.dropna(subset=list(needed)).empty:
        return None
    along = {"batch": "batch_size", "refine-rates": "refine_rate"}.get(str(kind))
    if along and table.frame.dropna(subset=list(needed))[along].nunique() < CURVE_POINTS:
        return None
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    function(table.frame, axis, tier)
    head(figure, table.title)
    return figure


def draw_gate(kind: str, table: Table, tier: str) -> Figure | None:
    """Figures of kind gate, whose modules need scipy and pycocotools."""
    from analysis.figures import gate

    if not table.curves:
        return None
    if kind == "gate":
        return gate.gate(table.curves, tier)
    figure, axis = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    gate.frontier(table.curves, axis, tier)
    head(figure, table.title)
    return figure
