"""Times the rows of bench.yaml, measures what back-ends do to results, and stores the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from experiments.cells.measures import accuracy_metrics, data_files
from experiments.cells.provenance import Device, local_device, provenance
from experiments.run.run import Say, print_line
from experiments.spec import bench_spec
from experiments.spec.bench_spec import BENCH, DEPLOYED, Bench, Deployment, Timing, load_bench
from experiments.spec.catalog import open_catalog
from results.records import Record
from results.store import Store
from sharpose.data.cache import ensure_named
from sharpose.efficiency.clocks import cool_down, read_clocks
from sharpose.runtime.progress import Reporter, unheard

PARITY_PEOPLE = 32
Row = TypeVar("Row", Timing, Deployment)


def run_bench(
    *, device: str = "cpu", again: bool = False, store: Store | None = None, say: Say = print_line
) -> dict[str, int]:
    """Measure what the store lacks; speeds that are compared with each other only together.

    Returns how many records were made, by measure. Raises InputError for a bad spec before anything is measured.
    """
    bench, catalog, chosen = load_bench(), open_catalog(), local_device(device)
    store = store or Store()
    timed = [able_here(one) for one in bench_spec.timings(bench, catalog, chosen)]
    deployed = [able_here(one) for one in bench_spec.deployments(bench)]
    rows: list[Timing | Deployment] = [*timed, *deployed]
    for row in rows:
        if row.lacking:
            say(f"left out: {row.label}: {row.lacking}")
    possible = [one for one in timed if not one.lacking]
    made = {DEPLOYED: 0, BENCH: 0}
    for deployment in deployed:
        if not deployment.lacking and (again or store.find(deployment.identity) is None):
            say(f"accuracy of {deployment.label}")
            with store.quiet(alone=False):
                metrics = measure_deployed(bench, deployment)
            store.save(record(bench, deployment.identity, metrics, deployment.label, bench.deployed, chosen))
            made[DEPLOYED] += 1
    cool = read_clocks(chosen.kind)
    for group in bench_spec.sessions(possible):
        if again or any(store.find(one.identity) is None for one in group):
            say(f"speeds of {len(group)} rows, {bench.rounds} rounds: {', '.join(one.label for one in group)}")
            cool_down(cool, chosen.kind)
            with store.quiet(alone=True):
                results = measure_speeds(bench, group, chosen)
            for one in group:
                store.save(record(bench, one.identity, results[one.label], one.label, one.row, chosen))
                made[BENCH] += 1
    return made


def able_here(one: Row) -> Row:
    """Return a row that, where it lacks nothing else, lacks what this processor cannot do."""
    from sharpose.backends.deploy import why_not

    return one if one.lacking else replace(one, lacking=why_not(one.row.backend, one.row.precision))


def record(
    bench: Bench, identity: dict[str, Any], metrics: dict[str, Any], row: str, made_of: Any, on: Device
) -> Record:
    """Return the record with the names behind the identity."""
    used = bench.deployed
    tier, data = (used.tier, used.data) if identity["measure"] == DEPLOYED else ("paper-size", bench.data)
    names = {"model": made_of.model, "options": made_of.options, "dataset": data}
    return Record(identity, metrics, "bench", row, tier, {**provenance(on), **names})


def measure_speeds(bench: Bench, timed: Sequence[Timing], device: Device) -> dict[str, dict[str, Any]]:
    """Time all rows interleaved in one session; metrics by label of the row."""
    from sharpose.efficiency.bench import measure_bench
    from sharpose.efficiency.variants import People, Variant

    people = ensure_named(bench.data)
    files = People(people.annotations_file, people.images_folder)
    variants = {}
    for row in (one.row for one in timed):
        load = (row.batch_size or bench.batch_size, row.backend, row.precision, row.scope)
        variants[row.label] = Variant(row.model, row.options, *load, files)
    with Reporter("Timing", bench.rounds) as report:
        return measure_bench(
            variants, device=device.kind, rounds=bench.rounds, threads=device.threads, progress=report.progress
        )


def measure_deployed(bench: Bench, deployment: Deployment) -> dict[str, Any]:
    """Measure AP with flip test on ground-truth boxes, its bootstrap, and the heatmaps' distance to torch's in fp32."""
    from sharpose.evaluation.evaluate import evaluate
    from sharpose.evaluation.request import EvaluationRequest, People

    chosen, catalog = bench.deployed, open_catalog(bench.deployed.tier)
    files = data_files(catalog, chosen.data, unheard)
    by_name = catalog.dataset(chosen.data).by_name is not None
    asked = EvaluationRequest(
        people=People(data=str(files.annotations), images=files.images, by_name=by_name),
        model=chosen.model,
        options=chosen.options,
        weights=str(deployment.weights),
        precision=deployment.row.precision,
        backend=deployment.row.backend,
    )
    evaluation, facts = evaluate(asked)
    error = heatmap_error(bench, deployment, files.annotations, files.images)
    digests = {name: facts[name] for name in ("annotations_sha256", "pictures_sha256")}
    return {**accuracy_metrics(evaluation), **digests, "heatmaps_relative_error": error}


def heatmap_error(bench: Bench, deployment: Deployment, annotations: Path, images: Path) -> float:
    """Return ‖a - b‖ / ‖b‖ of the heatmaps of the first people, b by torch in fp32."""
    import torch

    from sharpose.backends.deploy import deploy
    from sharpose.backends.graphs import difference
    from sharpose.codecs.choice import codec_of
    from sharpose.data.coco import CocoTopDown
    from sharpose.inference.pipeline import look
    from sharpose.models import create_model
    from sharpose.weights.files import load_weights

    model, same = (create_model(bench.deployed.model, **bench.deployed.options).eval() for _ in range(2))
    for one in (model, same):
        load_weights(one, deployment.weights)
    codec, row = codec_of(model.config), deployment.row
    dataset = CocoTopDown(annotations, images, image_size=model.config.image_size, warp=codec.warp)
    batch = torch.stack([torch.as_tensor(dataset[i]["image"]) for i in range(PARITY_PEOPLE)])
    # some back-ends change the model that they are given
    other = deploy(same, row.backend, precision=row.precision)
    autocast: Any = row.precision if row.backend == "eager" else "fp32"
    with torch.inference_mode():
        (expected,), (found,) = look(model, batch), look(other, batch, precision=autocast)
    return difference(found.heatmaps.float(), expected.heatmaps.float())
