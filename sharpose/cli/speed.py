"""Commands that time."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sharpose.cli.app import BACKENDS, Device, Images, Json, Settings, Weights, app, harness, parse_settings, show
from sharpose.runtime.errors import InputError

if TYPE_CHECKING:
    from sharpose.efficiency.variants import Variant


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="MODEL…")] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Also other libraries' models of the same sizes.")] = False,
    backends: Annotated[list[str] | None, typer.Option("--backend", help=f"{BACKENDS}; may be repeated.")] = None,
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="model, model-flip-decode or end-to-end; may be repeated.")
    ] = None,
    batches: Annotated[list[int] | None, typer.Option("--batch", min=1, help="May be repeated; default: 4.")] = None,
    settings: Settings = None,
    rounds: Annotated[int, typer.Option(min=1)] = 10,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16, where --backend names none.")] = "fp32",
    refine_rate: Annotated[
        float | None, typer.Option(help="Stream batches, this share of whose people is refined; default: all are.")
    ] = None,
    device: Device = "cpu",
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    data: Annotated[
        str, typer.Option(help="The people of --accuracy and of scope end-to-end: a set's name or its file.")
    ] = "mannequin2-val",
    images: Images = None,
    accuracy: Annotated[
        bool, typer.Option("--accuracy", help="Also AP on --data, with flip test, by the same weights and back-end.")
    ] = False,
    weights: Weights = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, each in a process of its own.")] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Measure what the store lacks of experiments/specs/bench.yaml.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="With --record: measure also what is stored.")] = False,
    as_json: Json = False,
) -> None:
    """Measure images per second, all interleaved in one run, random weights, every person refined or a given share.

    With --accuracy the weights are those that ship, or --weights: one row then holds AP, time, size and multiply-adds
    of one file on one back-end.

    With a share (--refine-rate), early exit as it is used: four batches are streamed, and the people who need it are
    refined together.

    Beside it: how much faster than the first row, latencies of a batch, and the share of the machine's own fp32
    matrix-multiply rate that was reached, measured in the same run. With --record no model is named: the rows are
    those of experiments/specs/bench.yaml; their tables are printed and written to results/local/csv, and their figure
    to results/local/figures.

    Example: sharpose bench sharpose-small-256x192 --peers --backend eager --backend openvino:bf16
    """
    if record and names:
        raise InputError(f"--record times the rows of experiments/specs/bench.yaml; leave out {' '.join(names)}")
    if not record and not names:
        raise InputError("name the models to time, or give --record for the rows of experiments/specs/bench.yaml")
    if record:
        record_bench(device, again, as_json)
        return
    from sharpose.models.registry import resolve_config

    names = names or []
    options = {"quality_threshold": None, **parse_settings(settings)}
    for name in names:
        resolve_config(name, **supported(name, options))
    from sharpose.backends.choice import split_backend
    from sharpose.data.locate import find_data
    from sharpose.efficiency.bench import measure_bench
    from sharpose.efficiency.variants import People
    from sharpose.runtime.progress import Reporter

    people = None
    if accuracy or "end-to-end" in (scopes or []):
        # before anything is timed for nothing
        source = find_data(data, images)
        people = People(source.annotations, source.images)

    chosen = [split_backend(one, precision) for one in backends or ["eager"]]
    places = list(product(scopes or ["model"], batches or [4]))
    wanted = variants(names, options, peers, chosen, places, precision, people, refine_rate)
    if accuracy or weights is not None:
        wanted = {label: with_weights(one, weights) for label, one in wanted.items()}
    with Reporter("Timing", rounds) as report:
        results = measure_bench(
            wanted, device=device, rounds=rounds, threads=threads, memory=memory, progress=report.progress
        )
    for name, found in accuracies(wanted, data, images, device).items() if accuracy else ():
        results[name] |= found
    first = next(iter(results.values()))["images_per_s"]
    width = max(map(len, results))
    show(results, as_json, "\n".join(line(label, row, first, width) for label, row in results.items()))


def with_weights(variant: Variant, weights: str | None) -> Variant:
    """Return a variant with the given weights, or those that ship, and their options; other libraries' stay."""
    from sharpose.efficiency.peers import PEERS
    from sharpose.evaluation.evaluate import chosen_weights

    found = None if variant.model in PEERS else chosen_weights(variant.model, weights)
    if found is None:
        return variant
    return replace(variant, weights=found.path, options=found.options_of(variant.model, variant.options))


def accuracies(wanted: dict[str, Variant], data: str, images: Path | None, device: str) -> dict[str, dict[str, Any]]:
    """Return AP of every variant with weights, once per back-end for all batches and scopes, and its file's size.

    Raises InputError for people in MPII's layout.
    """
    from sharpose.evaluation.coco import Evaluation
    from sharpose.evaluation.evaluate import evaluate
    from sharpose.evaluation.request import EvaluationRequest, People

    people, found = People(data=data, images=images), dict[tuple[Any, ...], dict[str, Any]]()
    for one in (variant for variant in wanted.values() if variant.weights is not None):
        if (key := accuracy_key(one)) in found:
            continue
        how: dict[str, Any] = {"backend": one.backend, "precision": one.precision, "device": device}
        asked = EvaluationRequest(people=people, model=one.model, options=one.options, weights=str(one.weights), **how)
        evaluation, facts = evaluate(asked)
        if not isinstance(evaluation, Evaluation):
            raise InputError(f"--accuracy: {data} is in MPII's layout, whose score is PCKh; see `sharpose evaluate`")
        scores = {name: evaluation.summary()[name] for name in ("ap", "ap_low", "ap_high")}
        size = (one.weights or Path()).stat().st_size / 1e6
        found[key] = {**scores, "weights_sha256": facts["weights_sha256"], "weights_mb": size, "people": data}
    return {label: found[accuracy_key(one)] for label, one in wanted.items() if accuracy_key(one) in found}


def accuracy_key(variant: Variant) -> tuple[Any, ...]:
    """Return what an accuracy depends on."""
    return variant.model, variant.weights, repr(sorted(variant.options.items())), variant.backend, variant.precision


def record_bench(device: str, again: bool, as_json: bool) -> None:
    """Measure the speeds of bench.yaml that are not stored, or all `again`; print tables, save CSV and figure."""
    harness("experiments.tools.bench").run_bench(device=device, again=again)
    rendering = harness("analysis.tables.render")
    bench = harness("analysis.tables.bench")
    tables = bench.bench_tables(device=device)
    for one in bench.for_files(tables):
        rendering.write_csv(one, rendering.LOCAL_CSV)
    figures = harness("analysis.figures")
    figures.save(figures.bench_figure(tables), rendering.LOCAL_CSV.parent / "figures")
    show([rendering.as_dict(one) for one in tables], as_json, "\n".join(map(rendering.render, tables)))


def supported(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return `options` for a model; only SHaRPose has a threshold that could let someone exit early."""
    from sharpose.models.registry import find

    known = [field.name for field in fields(find(name).config)]
    keep = "quality_threshold" in known
    return {key: value for key, value in options.items() if keep or key != "quality_threshold" or value is not None}


def variants(
    names: list[str],
    options: dict[str, Any],
    peers: bool,
    backends: list[tuple[str, str]],
    places: list[tuple[str, int]],
    precision: str,
    people: Any,
    refine_rate: float | None,
) -> dict[str, Variant]:
    """Return all combinations by label, `places` being scope and batch.

    Peers are eager, and backbones without heatmaps are timed as models alone. Raises InputError where peers are asked
    for and there are none of the size.
    """
    from sharpose.efficiency.peers import find_peer, peers_of
    from sharpose.efficiency.variants import Variant

    found: dict[str, Variant] = {}
    for scope, batch in places:
        place: dict[str, Any] = {"batch_size": batch, "scope": scope, "people": people}
        for name, (backend, own) in product(names, backends):
            how = {"backend": backend, "precision": own, "refine_rate": refine_rate, **place}
            one = Variant(name, supported(name, options), **how)
            found[label(one)] = one
        others = dict.fromkeys(peer for name in names if peers for peer in peers_of(name))
        for peer in others:
            if scope == "model" or find_peer(peer).gives_heatmaps:
                one = Variant(peer, precision=precision, **place)
                found[label(one)] = one
        if peers and not others:
            raise InputError(f"--peers: there are none of the size of {', '.join(names)}; sizes: small and base")
    return found


def label(variant: Variant) -> str:
    """Return what tells a variant from the others."""
    return f"{variant.model} {variant.backend} {variant.precision} batch {variant.batch_size} {variant.scope}"


def line(name: str, row: dict[str, Any], first: float, width: int) -> str:
    """Return a line of a variant's results; `first`: images/s of the first variant, `width`: that of the names."""
    parts = [
        f"{name:{width}} {row['images_per_s']:8.2f} images/s  {row['images_per_s'] / first:5.2f}×",
        f"p50 {row['latency_ms_p50']:.1f} ms  p90 {row['latency_ms_p90']:.1f} ms",
        f"CPU {row['cpu_s_per_image']:.3f} s/image",
        f"{100 * row['share_of_matmul_rate']:.0f} % of the matrix-multiply rate",
    ]
    if row.get("ap") is not None:
        parts.append(f"AP {100 * row['ap']:.1f} [{100 * row['ap_low']:.1f}, {100 * row['ap_high']:.1f}]")
        parts.append(f"{row['weights_mb']:.1f} MB  {row['macs'] / 1e9:.3g} G multiply-adds")
    if row.get("refine_rate") is not None:
        parts.append(f"{100 * row['refine_rate']:.3g} % refined")
    if row.get("peak_memory_mib") is not None:
        parts.append(f"peak {row['peak_memory_mib']:.0f} MiB")
    if row["joules_per_image"] is not None:
        parts.append(f"{row['joules_per_image']:.2f} J/image")
    return "  ".join(parts) + ("  (noisy)" if row["noisy"] else "") + ("  (machine slowed)" if row["throttled"] else "")


@app.command("bench-data")
def bench_data(
    data: Annotated[str, typer.Argument(help="A generated set (mannequin2-val), or a COCO annotations file.")],
    model: Annotated[str, typer.Option(help="Whose crops, and whose need.")] = "sharpose-base-256x192",
    images: Annotated[Path | None, typer.Option(help="Folder of images, with an annotations file.")] = None,
    crops: Annotated[int, typer.Option(min=1, help="How many are timed.")] = 200,
    cores: Annotated[int, typer.Option(min=1, help="Cores that prepare crops.")] = 16,
    tflops: Annotated[float, typer.Option(min=0.001, help="The accelerator's rate; 989: H100, bf16, dense.")] = 989.0,
    utilisation: Annotated[float, typer.Option(min=0.01, max=1, help="The share of it that training reaches.")] = 0.4,
    as_json: Json = False,
) -> None:
    """Measure CPU time per augmented crop, against what training would use up on an accelerator, calculated.

    Example: sharpose bench-data mannequin2-val --model sharpose-base-256x192 --cores 16
    """
    from sharpose.models.registry import resolve_config

    config = resolve_config(model)
    from sharpose.codecs.choice import codec_of
    from sharpose.data.augment import Augmentation
    from sharpose.data.coco import CocoTopDown
    from sharpose.data.locate import find_data
    from sharpose.efficiency.cost import measure_cost
    from sharpose.efficiency.loading import crops_needed, measure_loading

    source = find_data(data, images)
    size, warp = config.image_size, codec_of(config).warp
    people = CocoTopDown(source.annotations, source.images, image_size=size, augmentation=Augmentation(), warp=warp)
    measured = measure_loading(people, crops)
    macs = measure_cost(model)["macs_torch_executed"]
    need = crops_needed(macs, tflops, utilisation)
    supply = {key: cores * measured[key] for key in ("crops_per_s_per_core", "crops_per_s_per_core_preloaded")}
    lines = [
        f"{measured['crop_ms']:.2f} ms of CPU per crop of {size[0]}x{size[1]} (median of {crops}): "
        f"decoding {measured['decode_ms']:.2f}, everything else {measured['warp_ms']:.2f}",
        f"{cores} cores like this one: {supply['crops_per_s_per_core']:.0f} crops/s, "
        f"{supply['crops_per_s_per_core_preloaded']:.0f} with photographs decoded once (--preload)",
        f"{model} would use up {need:.0f} crops/s (calculated: {macs / 1e9:.2f} G multiply-adds forward, three times "
        f"that for a step, {utilisation:.0%} of {tflops:g} TFLOP/s)",
    ]
    facts = {**measured, "cores": cores, "macs": macs, "tflops": tflops, "utilisation": utilisation}
    show({"model": model, "data": data, **facts, "crops_per_s_needed": need}, as_json, "\n".join(lines))
