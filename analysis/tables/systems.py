"""Every model with what is known of it: three counts, the paper's value, tokens, conformance, and trained weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.tables.markdown import markdown_table
from experiments.cells.cells import VERSIONS, model_identity, weights_name
from experiments.spec.catalog import Catalog, open_catalog
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec, is_ours
from results.records import Record
from results.store import Store
from sharpose.models.overview import DASH, Model, billions
from sharpose.models.registry import systems

BEGIN, END = "<!-- systems: made by `sharpose models --into docs/systems.md` -->", "<!-- end of systems -->"


@dataclass(frozen=True)
class SystemRow:
    """One line of the table of systems; None and empty ones are dashes.

    `macs` is the closed form, `macs_fvcore` and `macs_torch` are stored counts; the closed form follows fvcore's
    convention, torch counts matmuls alone. `weights`: tiers at which it, or what stands for it there, is trained.
    """

    model: Model
    params: int | None
    macs: int | None
    macs_fvcore: int | None
    macs_torch: int | None
    paper_gflops: tuple[float, ...]
    conformance: str
    weights: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        own = {key: value for key, value in vars(self).items() if key != "model"}
        return {**self.model.config, **own, "tokens_per_block": self.model.tokens}

    @property
    def cells(self) -> dict[str, str]:
        """Return it as it is printed, by column."""
        own, params = self.model.cells, DASH if self.params is None else f"{self.params / 1e6:.2f}"
        return {
            "model": own["model"],
            "input": own["input"],
            "params M": params,
            "closed form G": own["closed form G"],
            "fvcore G": billions(self.macs_fvcore),
            "torch G": billions(self.macs_torch),
            "paper G": ", ".join(f"{value:g}" for value in self.paper_gflops) or DASH,
            "tokens × blocks": own["tokens × blocks"],
            "conformance": self.conformance or DASH,
            "weights": ", ".join(self.weights) or DASH,
        }


NUMBERS = ("input", "params M", "closed form G", "fvcore G", "torch G", "paper G")


def system_rows(models: Iterable[Model], store: Store | None = None, catalog: Catalog | None = None) -> list[SystemRow]:
    """Return what is known of `models`, from closed forms, specs and the store; nothing is measured.

    None where a closed form or the store has no number.
    """
    store, catalog = store or Store(), catalog or open_catalog()
    published, checked = paper_values(load_specs()), conformance_by_system(latest_conformance(store))
    rows = []
    for model in models:
        cost, identity = model.cost, cost_identity(model.name, {})
        record = store.find(identity)
        counted: Mapping[str, Any] = {} if record is None else record.metrics
        rows.append(
            SystemRow(
                model=model,
                params=counted.get("params") if cost is None else cost.params,
                macs=None if cost is None else cost.fvcore,
                macs_fvcore=counted.get("macs_fvcore"),
                macs_torch=counted.get("macs_torch"),
                paper_gflops=published.get(str(identity), ()),
                conformance=checked.get(model.config["system"], ""),
                weights=trained_at(model.name, catalog),
            )
        )
    return rows


def cost_identity(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity under which a model's cost is stored. Everyone is refined, so a threshold does not matter."""
    described = model_identity(name, dict(options))
    if "quality_threshold" in described:
        described["quality_threshold"] = None
    return {"measure": "cost", "version": VERSIONS["cost"], "model": described}


def paper_values(specs: Iterable[LoadedSpec]) -> dict[str, tuple[float, ...]]:
    """Return the GFLOPs that the paper gives for a configuration, each different one once; by cost identity."""
    # a dictionary keeps its keys in order, each once
    found: dict[str, dict[float, None]] = {}
    for loaded in specs:
        for row in loaded.spec.rows:
            settings = loaded.settings(row)
            if row.paper.gflops is not None and is_ours(settings.model):
                identity = str(cost_identity(settings.model, settings.options))
                found.setdefault(identity, {})[row.paper.gflops] = None
    return {identity: tuple(values) for identity, values in found.items()}


def latest_conformance(store: Store) -> Record | None:
    """Return the last stored run of `sharpose conformance` of the present version."""
    current = [r for r in store.records("conformance") if r.identity["version"] == VERSIONS["conformance"]]
    return max(current, key=lambda record: str(record.provenance.get("utc")), default=None)


def conformance_by_system(record: Record | None) -> dict[str, str]:
    """Return `2 of 2` for every system with cases in a stored run."""
    verdicts: dict[str, list[bool]] = {}
    # TokenPose-T and TokenPose-L are one system
    owners = {case: system.name for system in systems().values() for case in system.cases}
    for verdict in ({} if record is None else record.metrics["cases"]).values():
        system = owners.get(verdict["system"], verdict["system"])
        verdicts.setdefault(system, []).append(verdict["status"] == "passed")
    return {system: f"{sum(passed)} of {len(passed)}" for system, passed in verdicts.items()}


def trained_at(name: str, catalog: Catalog) -> tuple[str, ...]:
    """Return the tiers at which there are trained weights of a model, or of what stands for it."""
    return tuple(
        tier
        for tier, facts in catalog.tiers.tiers.items()
        if any(
            (catalog.places.weights / tier / f"{weights_name(model, {})}.safetensors").exists()
            for model in {name, (facts.models or {}).get(name, name)}
        )
    )


def in_tables(rows: Iterable[SystemRow]) -> list[SystemRow]:
    """Return those that a spec names."""
    named = {loaded.settings(row).model for loaded in load_specs() for row in loaded.spec.rows}
    return [row for row in rows if row.model.name in named]


def as_markdown(rows: Sequence[SystemRow]) -> str:
    """Return a Markdown table with names as code."""
    cells = [[f"`{name}`", *others] for name, *others in (row.cells.values() for row in rows)]
    return "\n".join(markdown_table(list(rows[0].cells), cells))


def notes(record: Record | None) -> list[str]:
    """Return what has to be known to read the table."""
    said = (
        "G: 1e9 multiply-adds, everyone refined. The closed form is computed now, in fvcore's convention; fvcore's and "
        "torch's counts (torch: matmuls alone) are stored ones, from `sharpose run`. Weights: the tiers at which it, "
        "or the small model that stands for it there, is trained."
    )
    if record is None:
        return [said, "Conformance: no run is stored (`sharpose conformance DIR --save`)."]
    commit, utc = str(record.provenance.get("git_commit"))[:7], str(record.provenance.get("utc"))[:10]
    return [said, f"Conformance: cases of the public reference passed, as stored on {utc} at commit {commit}."]


def replaced_between_markers(text: str, table: str) -> str:
    """Return `text` with `table` between the two marker comments. Raises ValueError unless both are there, in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"needs the two lines {BEGIN} and {END}, between which the table stands")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
