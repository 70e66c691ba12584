"""The front door: one command, `sharpose`. The only file here that may import from every folder, and always lazily."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.errors import InputError, RunFailed

app = typer.Typer(
    name="sharpose",
    help="SHaRPose, exact and measured: train, evaluate, count, time, and regenerate the paper's tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make and check data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. alpha=.3; may be repeated.")]
Model = Annotated[str, typer.Option("--model", help="A name that `sharpose models` lists.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


def main() -> None:
    """Run the command line; bad input ends in one line and exit code 2, a failed run in one line and 1."""
    try:
        app()
    except ValueError as error:
        if not isinstance(error, (InputError, *store_errors())):
            raise
        fail(str(error), 2)
    except RunFailed as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted; what was complete is kept", 130)


def store_errors() -> tuple[type[Exception], ...]:
    """The store's own error class, where the store was used; it cannot be ours, as `results` imports nothing."""
    store = sys.modules.get("results.store")
    return (store.StoreError,) if store else ()


def fail(message: str, code: int) -> None:
    print(f"sharpose: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def show(content: Any, as_json: bool, text: str) -> None:
    """The result of a command on standard output."""
    print(json.dumps(content, indent=1, default=str) if as_json else text)


def parse_settings(settings: list[str] | None) -> dict[str, Any]:
    """`--set` options as typed values. Raises InputError for one that is not NAME=VALUE."""
    import yaml

    parsed = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise InputError(f"--set {setting!r} does not work: it must be NAME=VALUE, e.g. --set alpha=.3")
        try:
            # YAML reads .3 as a number, none as a word and null as nothing
            parsed[name.removeprefix("model.")] = None if value.lower() == "none" else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {setting!r}: the value cannot be read ({error.__class__.__name__})") from error
    return parsed


@app.command()
def models(as_json: Json = False) -> None:
    """Every model: input, parameters and multiply-adds (closed form), tokens per block, whether trained weights ship.

    Example: sharpose models
    """
    from sharpose.models.registry import describe, list_models, resolve_config, tokens_per_block

    formulas = harness("analysis.closed_forms")
    rows = {}
    for name in list_models():
        config = resolve_config(name)
        row = describe(config)
        formula = formulas.cost(row["system"], row)
        row |= {"params": formula.params, "macs": formula.macs, "macs_fvcore": formula.macs + formula.elements}
        shipped = (harness("results.store").ROOT / "weights" / f"{name}.safetensors").exists()
        rows[name] = {**row, "tokens_per_block": tokens_per_block(config), "weights": shipped}
    lines = [f"{'model':32} {'system':15} {'input':>8} {'params M':>9} {'GFLOPs':>8}  {'weights':8} tokens per block"]
    for name, row in rows.items():
        size = "x".join(map(str, row["image_size"]))
        runs = [(count, len(list(same))) for count, same in groupby(row["tokens_per_block"] or [])]
        tokens = " ".join(f"{count}×{blocks}" if blocks > 1 else str(count) for count, blocks in runs)
        lines.append(
            f"{name:32} {row['system']:15} {size:>8} {row['params'] / 1e6:9.3f} {row['macs_fvcore'] / 1e9:8.3f}  "
            f"{'trained' if row['weights'] else '':8} {tokens}".rstrip()
        )
    lines.append(
        "GFLOPs: multiply-adds in fvcore's convention, every stage run; `sharpose cost` counts them in three ways."
    )
    show(rows, as_json, "\n".join(lines))


@app.command()
def train(
    model: Model,
    data: Annotated[str, typer.Option(help="A generated set (mannequin-train), or a COCO annotations file.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, and for the weights at the end.")],
    images: Annotated[Path | None, typer.Option(help="Folder of images, with an annotations file.")] = None,
    recipe: Annotated[str, typer.Option(help="A recipe's name or YAML file; default: the model's own.")] = "",
    settings: Settings = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare crops.")] = 0,
    precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
    preload: Annotated[bool, typer.Option(help="Keep decoded images in memory.")] = False,
    init: Annotated[
        Path | None, typer.Option(help="Start from these weights, resampled where the size differs.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this step (the schedule stays).")] = None,
    as_json: Json = False,
) -> None:
    """Train a model, resuming from --out where it holds checkpoints.

    Example: sharpose train --model sharpose-nano-128x96 --data mannequin-train --out runs/nano --preload
    """
    from sharpose.training.session import train_and_export

    facts = train_and_export(
        model_name=model,
        recipe_name=recipe,
        changes=parse_settings(settings),
        data=data,
        images=images,
        out=out,
        seed=seed,
        workers=workers,
        precision=precision,
        preload=preload,
        init=init,
        max_steps=max_steps,
    )
    show(facts, as_json, f"{facts['weights']}  after {facts['steps']} steps, {facts['wall_s'] / 60:.1f} min")


@app.command()
def cost(
    names: Annotated[list[str], typer.Argument(metavar="MODEL…")],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Parameters and multiply-adds of one fully refined image, by three independent counts, stage by stage.

    Example: sharpose cost sharpose-base-256x192 sharpose-base-384x288 --set alpha=.3
    """
    from sharpose.models.registry import describe, resolve_config

    options = parse_settings(settings)
    # every name is checked before the first, slower, count
    configs = {name: describe(resolve_config(name, **options)) for name in names}
    from sharpose.efficiency.cost import measure_cost

    formulas = harness("analysis.closed_forms")
    rows, lines = {}, []
    for name, config in configs.items():
        row: dict[str, Any] = dict(measure_cost(name, options))
        formula = formulas.cost(config["system"], config)
        row |= {"macs_closed_form": formula.macs, "params_closed_form": formula.params}
        row["disagreement"] = formulas.disagreement(config, row)
        rows[name] = row
        if row["disagreement"] > 1e-3:
            raise RunFailed(f"{name}: the three counts differ by {row['disagreement']:.2%}; none can be trusted")
        lines.append(f"{name}: {row['params'] / 1e6:.3f} M parameters; GFLOPs (multiply-adds), every stage run:")
        for key, label in (("fvcore", "fvcore (the paper's convention)"), ("torch", "torch (products alone)")):
            stages = ((stage, row.get(f"macs_{key}_{stage}")) for stage in ("coarse", "fine", "head"))
            parts = "  ".join(f"{stage} {macs / 1e9:.3f}" for stage, macs in stages if macs is not None)
            lines.append(f"  {label:33} {row[f'macs_{key}'] / 1e9:8.3f}   {parts}")
        apart = f"largest difference between counts {row['disagreement']:.4%}"
        lines.append(f"  {'closed form (products alone)':33} {formula.macs / 1e9:8.3f}   {apart}")
    show(rows, as_json, "\n".join(lines))


@app.command()
def conformance(
    folder: Annotated[Path, typer.Argument(help="A folder of cases (each a folder with case.json), or one case.")],
    as_json: Json = False,
) -> None:
    """Compare with the numbers of public reference implementations; exit code 1 when one differs.

    Example: sharpose conformance ../shared/golden
    """
    from sharpose.conformance.run import closing_line, run_cases

    verdicts = run_cases(folder)
    text = "\n".join([*(verdict.line for verdict in verdicts), closing_line(verdicts)])
    rows = [{**vars(v), "worst": v.worst._asdict() if v.worst else None} for v in verdicts]
    show({"cases": rows, "summary": closing_line(verdicts)}, as_json, text)
    if any(verdict.status == "FAILED" for verdict in verdicts):
        raise typer.Exit(1)


@data_app.command()
def mannequin(
    out: Annotated[Path | None, typer.Option(help="A new folder; default: the cache, under the set's name.")] = None,
    name: Annotated[
        str | None, typer.Option(help="A named set, e.g. mannequin-val; the options below are its.")
    ] = None,
    split: str = "train",
    images: Annotated[int, typer.Option(min=1)] = 100,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    difficulty: Annotated[float | None, typer.Option(help="0 (frontal, plain) to 1 (any view, clutter).")] = None,
    min_people: int | None = None,
    max_people: int | None = None,
    min_height: float | None = None,
    max_height: float | None = None,
    crowd_probability: float | None = None,
    jpeg_quality: int | None = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; the files do not depend on it.")] = None,
    as_json: Json = False,
) -> None:
    """Generate people in COCO's format: images, annotations, detections and a manifest.

    Example: sharpose data mannequin --out people --split val --images 50 --seed 7
    """
    from sharpose.data.cache import MannequinSet, ensure, named_set
    from sharpose.data.mannequin import MannequinParameters
    from sharpose.data.mannequin.generate import generate
    from sharpose.progress import Reporter

    chosen = {
        "difficulty": difficulty,
        "min_people": min_people,
        "max_people": max_people,
        "min_height": min_height,
        "max_height": max_height,
        "crowd_probability": crowd_probability,
        "jpeg_quality": jpeg_quality,
    }
    parameters = MannequinParameters(**{key: value for key, value in chosen.items() if value is not None})  # type: ignore[arg-type]
    wanted = named_set(name) if name else MannequinSet(split, images, seed, parameters)
    request: dict[str, Any] = {"images": wanted.images, "seed": wanted.seed, "parameters": wanted.parameters}
    with Reporter("Generating people", wanted.images) as report:
        if out is None:
            folder = ensure(wanted.split, workers=workers, progress=report.progress, **request)
        else:
            generate(out, split=wanted.split, workers=workers, progress=report.progress, **request)
            folder = out
    manifest = json.loads((folder / "manifest.json").read_text())
    counts = ", ".join(f"{count} {what}" for what, count in manifest["counts"].items())
    show({"folder": str(folder), **manifest}, as_json, f"{folder}: {counts}")


@app.command()
def evaluate(
    model: Model,
    annotations: Annotated[Path | None, typer.Option(help="COCO-format keypoint annotations.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    data: Annotated[str | None, typer.Option(help="A generated set instead, e.g. mannequin-val.")] = None,
    boxes: Annotated[str, typer.Option(help="ground-truth, or a detections file.")] = "ground-truth",
    weights: Annotated[str | None, typer.Option(help="A .safetensors file; `random` to try the pipeline.")] = None,
    settings: Settings = None,
    flip_test: Annotated[bool, typer.Option(help="Average with the mirrored crop.")] = True,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    save_results: Annotated[Path | None, typer.Option(help="Where to write the results in COCO's format.")] = None,
    as_json: Json = False,
) -> None:
    """Average precision of a model on people of a COCO-format data set, with a bootstrap interval.

    Example: sharpose evaluate --model sharpose-nano-128x96 --data mannequin-val --set alpha=.3
    """
    from sharpose.assess import assess

    evaluation, facts = assess(
        model_name=model,
        options=parse_settings(settings),
        annotations=annotations,
        images=images,
        data=data,
        boxes=boxes,
        weights=weights,
        flip_test=flip_test,
        batch_size=batch_size,
        workers=workers,
        device=device,
        precision=precision,
        save_results=save_results,
    )
    summary = evaluation.summary()

    def percent(key: str) -> str:
        return "–" if summary[key] is None else f"{100 * summary[key]:.1f}"  # type: ignore[operator]

    scores = ("AP50", "ap50"), ("AP75", "ap75"), ("AP_M", "ap_m"), ("AP_L", "ap_l"), ("AR", "ar")
    lines = [
        f"{model} on {facts['annotations']}: {summary['people']} boxes ({facts['boxes']}) on "
        f"{summary['images_with_boxes']} of {summary['images']} images, {summary['annotated_people']} annotated people",
        f"AP {percent('ap')} [{percent('ap_low')}, {percent('ap_high')}]  "
        + "  ".join(f"{name} {percent(key)}" for name, key in scores),
    ]
    if summary["refine_rate"] is not None:
        lines.append(f"refined: {percent('refine_rate')} % of the people")
    show({**facts, **summary}, as_json, "\n".join(lines))


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A .safetensors or PyTorch file, or timm:NAME.")],
    model: Annotated[str, typer.Option("--as", help="Which of our models it is to be.")],
    out: Annotated[Path | None, typer.Option(help="Default: MODEL.safetensors here.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="A name that may be missing, unexpected or resized; * and ?.")
    ] = None,
    settings: Settings = None,
    max_gigabytes: Annotated[float, typer.Option(min=0, help="Refuse larger files.")] = 8.0,
    as_json: Json = False,
) -> None:
    """Public weights into ours, strictly: SHaRPose's release, ViTPose, the CNN systems, or a ViT as a start.

    A timm name is read from timm's caches; nothing is downloaded. Pickled files are read without running their code.

    Example: sharpose import vitpose-b.pth --as vitpose-base-256x192 --out weights/vitpose-b.safetensors
    """
    from sharpose.checkpoints.importing import import_weights

    path = out or Path(f"{model}.safetensors")
    options = parse_settings(settings)
    report, facts = import_weights(
        file, model, path, options=options, allow=allow or (), max_bytes=int(max_gigabytes * 2**30)
    )
    what = "a start, for `sharpose train --init`" if report.start else "complete"
    show({"weights": str(path), **facts}, as_json, f"{report.line}\n{path}  ({what})")


@app.command()
def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER…")],
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder for keypoints.json and the drawings.")],
    weights: Annotated[str | None, typer.Option(help="A .safetensors file; `random` to try the pipeline.")] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="JSON list of {file_name or image_id, bbox, score}; default: whole images.")
    ] = None,
    settings: Settings = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Keypoints of the people in pictures: JSON in COCO's results format, and drawings.

    What cannot be used (broken pictures, boxes without area or outside) is listed; then the exit code is 1.

    Example: sharpose predict photos --model sharpose-nano-128x96 --out poses
    """
    from sharpose.assess import load_chosen
    from sharpose.models import create_model
    from sharpose.predict import find_pictures, predict_pictures
    from sharpose.progress import Reporter

    pictures = find_pictures(inputs)
    network = create_model(model, **parse_settings(settings))
    load_chosen(network, model, weights)
    with Reporter("Predicting", len(pictures)) as report:
        summary = predict_pictures(network, pictures, out, boxes=boxes, device=device, progress=report.progress)
    show(vars(summary), as_json, f"{summary.path}: {len(summary.rows)} people in {len(summary.drawings)} pictures")
    if summary.skipped:
        raise RunFailed(f"{len(summary.skipped)} left out: {'; '.join(summary.skipped)}")


@app.command()
def pckh(
    ground_truth: Annotated[Path, typer.Option(help="MPII's validation ground truth (.mat).")],
    predictions: Annotated[Path, typer.Option(help=".json, .mat or .h5, people in the order of the truth.")],
    zero_based: Annotated[bool, typer.Option("--zero-based", help="Predictions count pixels from 0.")] = False,
    as_json: Json = False,
) -> None:
    """PCKh at .5 and at .1 on MPII, per joint and mean.

    Example: sharpose pckh --ground-truth mpii_gt_val.mat --predictions predictions.json
    """
    from sharpose.metrics.pckh import load_mpii_truth
    from sharpose.metrics.pckh import pckh as score
    from sharpose.metrics.pckh_files import read_predictions

    truth, points = load_mpii_truth(ground_truth), read_predictions(predictions, zero_based)
    rows: dict[str, Any] = {}
    for threshold in (0.5, 0.1):
        result = score(points, truth, threshold)
        per_joint = [None if value != value else float(value) for value in result.per_joint]
        rows[f"pckh@{threshold}"] = {**result.groups, "mean": result.mean, "per_joint": per_joint}
    groups = [name for name in rows["pckh@0.5"] if name != "per_joint"]
    lines = [" " * 10 + "".join(f"{name:>10}" for name in groups)]
    lines += [f"{name:10}" + "".join(f"{row[group]:10.3f}" for group in groups) for name, row in rows.items()]
    show({"people": len(points), **rows}, as_json, "\n".join(lines))


@data_app.command()
def doctor(
    annotations: Annotated[Path, typer.Argument(help="A COCO-format keypoint annotations file.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the images; every one is decoded.")] = None,
    detections: Annotated[Path | None, typer.Option(help="A detections file that should belong to them.")] = None,
    as_json: Json = False,
) -> None:
    """Look a data set over before hours are lost; exit code 1 when something is wrong.

    Example: sharpose data doctor person_keypoints_val2017.json --images val2017
    """
    from sharpose.data.doctor import examine
    from sharpose.progress import Reporter

    with Reporter("Looking at images", 1) as report:
        found = examine(annotations, images, detections, report.progress)
    show({"healthy": found.healthy, **vars(found)}, as_json, "\n".join(found.lines))
    if not found.healthy:
        raise typer.Exit(1)


@app.command()
def bench(
    names: Annotated[list[str], typer.Argument(metavar="MODEL…")],
    batch: Annotated[int, typer.Option(min=1)] = 4,
    settings: Settings = None,
    rounds: Annotated[int, typer.Option(min=1)] = 10,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    device: Device = "cpu",
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    as_json: Json = False,
) -> None:
    """Images per second, all models interleaved in one run, random weights, every person refined.

    Example: sharpose bench sharpose-small-256x192 sharpose-base-256x192 --batch 4
    """
    from sharpose.models.registry import resolve_config

    options = {"quality_threshold": None, **parse_settings(settings)}
    for name in names:
        resolve_config(name, **options)
    from sharpose.efficiency.throughput import measure_throughput
    from sharpose.progress import Reporter

    with Reporter("Timing", rounds) as report:
        results = measure_throughput(
            {name: (name, options) for name in names},
            batch_size=batch,
            precision=precision,
            device=device,
            rounds=rounds,
            threads=threads,
            progress=report.progress,
        )
    first = results[names[0]]["images_per_s"]
    lines = [
        f"{name:24} {row['images_per_s']:8.2f} images/s  {row['images_per_s'] / first:5.2f}×  "
        f"p50 {row['latency_ms_p50']:.1f} ms  p90 {row['latency_ms_p90']:.1f} ms  "
        f"CPU {row['cpu_s_per_image']:.3f} s/image{'  (noisy)' if row['noisy'] else ''}"
        for name, row in results.items()
    ]
    show(results, as_json, "\n".join(lines))


Specs = Annotated[list[str] | None, typer.Argument(metavar="SPEC…", help="Spec files or names; default: all.")]
Tier = Annotated[str, typer.Option(help="Scale at which accuracy is measured: nano or paper.")]
Coco = Annotated[Path | None, typer.Option(help="The COCO folder, for the paper tier (or SHARPOSE_COCO).")]


@app.command()
def run(
    specs: Specs = None,
    tier: Tier = "nano",
    device: Device = "cpu",
    coco: Coco = None,
    measures: Annotated[
        list[str] | None, typer.Option("--measure", help="cost, accuracy or throughput; repeat.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure also what is stored.")] = False,
    print_tables: Annotated[bool, typer.Option("--table", help="Then print the tables, as `table` does.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what the store lacks of the specs' cells; one record each.

    Example: sharpose run experiments/table6a.yaml
    """
    running = harness("experiments.run")
    chosen = measures or list(running.ORDER)
    for measure in chosen:
        if measure not in running.ORDER:
            raise InputError(f"--measure {measure!r} does not work: it must be one of {', '.join(running.ORDER)}")
    summary = running.run_specs(specs or (), tier=tier, device=device, coco=coco, measures=chosen, again=again)
    cells = [status.as_dict() for status in summary.statuses]
    stored = sum(status.state == "stored" for status in summary.statuses)
    lines = [f"{summary.measured} cells measured, {stored} of {len(cells)} stored"]
    lines += [f"cannot be measured here: {status.cell.name}: {status.reason}" for status in summary.blocked]
    if print_tables:
        print("\n".join(lines), file=sys.stderr)
        print_and_write(specs or [], "text", tier, device, as_json)
        return
    show({"measured": summary.measured, "cells": cells}, as_json, "\n".join(lines))


@app.command()
def status(
    specs: Specs = None, tier: Tier = "nano", device: Device = "cpu", coco: Coco = None, as_json: Json = False
) -> None:
    """Every cell of every table: stored, missing, or why it cannot be measured here.

    Example: sharpose status table6a
    """
    cells = harness("experiments.run").status(specs or (), tier=tier, device=device, coco=coco)
    lines = [
        f"{cell.state:8} {cell.cell.name:40} "
        + (cell.reason or ("" if cell.record is None else "published" if cell.record.published else "local"))
        for cell in cells
    ]
    counts = {state: sum(cell.state == state for cell in cells) for state in ("stored", "missing", "blocked")}
    lines.append(", ".join(f"{count} {state}" for state, count in counts.items()))
    show([cell.as_dict() for cell in cells], as_json, "\n".join(line.rstrip() for line in lines))


@app.command()
def table(
    name: Annotated[str, typer.Argument(help="A table's number or name: 6, 6a, table6b; or all.")],
    format: Annotated[str, typer.Option(help="text, markdown, csv or latex.")] = "text",
    tier: Tier = "nano",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Print a table from the store (nothing is measured) and write its CSV to results/csv.

    Example: sharpose table 6
    """
    print_and_write([name], format, tier, device, as_json)


def print_and_write(names: list[str], format: str, tier: str, device: str, as_json: bool) -> None:
    """Tables from the store: printed, and their raw numbers to results/csv."""
    tables, rendering = harness("analysis.tables"), harness("analysis.render")
    built = tables.build_tables(names, tier=tier, device=device)
    texts = [rendering.render(one, format) for one in built]
    for one in built:
        rendering.write_csv(one)
    show([rendering.as_dict(one) for one in built], as_json, "\n".join(texts))


@app.command()
def export(
    name: Annotated[str, typer.Option("--table", help="A table's number or name, or all.")] = "all",
    format: Annotated[str, typer.Option(help="markdown, csv, latex or text.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="A file for one table, or a folder; default: print.")] = None,
    tier: Tier = "nano",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Tables from the store as files for elsewhere; nothing is measured.

    Example: sharpose export --table 3 --format latex --out table3.tex
    """
    tables, rendering = harness("analysis.tables"), harness("analysis.render")
    built = tables.build_tables([name], tier=tier, device=device)
    texts = [rendering.render(one, format) for one in built]
    if out is None:
        show([rendering.as_dict(one) for one in built], as_json, "\n".join(texts))
        return
    into_file = out.suffix != "" and not out.is_dir()
    if into_file and len(built) > 1:
        raise InputError(f"--out {out}: {name!r} means {len(built)} tables; name a folder, or one table")
    paths = [out if into_file else out / f"{one.id}.{rendering.SUFFIXES[format]}" for one in built]
    store = harness("results.store")
    for path, text in zip(paths, texts, strict=True):
        store.write(path, text.encode())
    show([str(path) for path in paths], as_json, "\n".join(map(str, paths)))


@app.command()
def figures(
    example: Annotated[bool, typer.Option("--example", help="First run the model on the concept's person.")] = False,
    as_json: Json = False,
) -> None:
    """Draw results/figures from the store and the stored example.

    Example: sharpose figures
    """
    if example:
        harness("experiments.example").save_example()
    paths = [str(path) for path in harness("analysis.figures").save_all()]
    show(paths, as_json, "\n".join(paths))


@app.command()
def publish(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN_ID…", help="`all` publishes every local record.")],
    as_json: Json = False,
) -> None:
    """Copy local records to results/published, to be committed.

    Example: sharpose publish all
    """
    store = harness("results.store").Store()
    local = [record.run_id for record in store.records() if not record.published]
    paths = [str(store.publish(run_id)) for run_id in (local if run_ids == ["all"] else run_ids)]
    show(paths, as_json, "\n".join(paths) or "no local records")


def harness(module: str) -> Any:
    """A module of the folders beside `sharpose`, which a checkout has and an installed wheel has not."""
    root = Path(__file__).resolve().parents[1]
    if not (root / "experiments" / "spec.py").is_file():
        raise InputError(
            "this command needs the repository (experiments/, results/, analysis/); run it from a checkout"
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f"this command needs {error.name}; pip install -e '.[harness]'") from error


if __name__ == "__main__":
    main()
