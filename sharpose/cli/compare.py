"""Commands that judge results files from anyone's code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.cli.app import Category, Device, Images, Json, Model, Settings, Weights, app, evaluation_of, percent, show
from sharpose.cli.listing import TRAIN
from sharpose.runtime.errors import InputError
from sharpose.runtime.plain_text import aligned

Results = Annotated[list[Path], typer.Argument(help="Results files in COCO's keypoint format.")]
Truth = Annotated[str, typer.Option("--data", help="A named set, or annotations in COCO's format.")]
ByEvaluator = Annotated[str, typer.Option("--evaluator", help="pycocotools (the judge), or hotcoco: sooner.")]


@app.command(rich_help_panel=TRAIN)
def compare(
    results: Results,
    data: Truth,
    margin: Annotated[float, typer.Option(help="An AP difference that nobody minds, in points.", min=0)] = 0.5,
    format: Annotated[str, typer.Option(help="text, markdown or latex.")] = "text",
    figure: Annotated[Path | None, typer.Option(help="Draw the kinds of errors of every file (.png or .svg).")] = None,
    evaluator: ByEvaluator = "pycocotools",
    as_json: Json = False,
) -> None:
    """Compare results files on the same people: AP with intervals, paired differences, equivalence, kinds of errors.

    Example: sharpose compare mine.json theirs.json --data person_keypoints_val2017.json
    """
    from sharpose.data.locate import annotations_of
    from sharpose.evaluation.compare import compare as compare_files

    if format not in STYLES:
        raise InputError(f"--format {format!r} does not work: it must be one of {', '.join(STYLES)}")
    done = compare_files(results, annotations_of(data), margin=margin / 100, evaluator=evaluator)  # type: ignore[arg-type]
    facts = done.facts
    names = short_names([one["name"] for one in facts["files"]])
    files = [{**one, "name": names[one["name"]]} for one in facts["files"]]
    if figure is not None:
        draw_errors(files, figure)
    style = STYLES[format]
    parts = [style(*figures(files)), style(*errors(files)), style(*keypoints(files))]
    if facts["comparisons"]:
        pairs = [{**one, "first": names[one["first"]], "second": names[one["second"]]} for one in facts["comparisons"]]
        parts.insert(1, style(*differences(pairs)))
    show(facts, as_json, "\n\n".join(parts))


OF_MODEL = (
    *("images", "boxes", "weights", "settings", "flip_test"),
    *("batch_size", "workers", "device", "by_name", "category"),
)
"""Options of `protocol` that a results file has no use for."""
MOVED = ("moved", "moved_low", "moved_high")


@app.command(rich_help_panel=TRAIN)
def protocol(
    context: typer.Context,
    data: Truth,
    results: Annotated[Path | None, typer.Argument(help="A results file in COCO's keypoint format.")] = None,
    model: Model = "",
    images: Images = None,
    boxes: Annotated[str, typer.Option(help="Of --model: ground-truth, or a detections file.")] = "ground-truth",
    weights: Weights = None,
    settings: Settings = None,
    flip_test: Annotated[bool, typer.Option(help="Of --model: average with the mirrored crop.")] = True,
    batch_size: Annotated[int, typer.Option(help="Of --model.", min=1)] = 32,
    workers: Annotated[int, typer.Option(help="Of --model.", min=0)] = 0,
    device: Device = "cpu",
    by_name: Annotated[
        bool, typer.Option("--by-name", help="Of --model: match the data's keypoints with its own by their names.")
    ] = False,
    category: Category = None,
    evaluator: ByEvaluator = "pycocotools",
    as_json: Json = False,
) -> None:
    """Say how far one set of predictions moves by choices that papers seldom name: score rule, OKS-NMS, area rule.

    With --model in place of a results file also by flip test, decoder and, where --boxes names a file, boxes; the
    first row is then what `sharpose evaluate` gives with the same options. Intervals are of the paired difference.

    Example: sharpose protocol results.json --data person_keypoints_val2017.json

    Example: sharpose protocol --model sharpose-nano-128x96 --data mannequin2-val
    """
    # every option by its own name, before anything else has one here
    options = dict(locals())
    from sharpose.data.locate import annotations_of
    from sharpose.evaluation.protocol import file_effects

    if (results is None) == (not model):
        raise InputError("give either a results file, or --model NAME to vary flip test, decoder and boxes as well")
    if results is not None:
        known = {one.name: (one.secondary_opts or one.opts)[0] for one in context.command.params}
        sources = {known[name]: context.get_parameter_source(name) for name in OF_MODEL}
        useless = [option for option, source in sources.items() if source and source.name == "COMMANDLINE"]
        if useless:
            raise InputError(f"{results}: is judged as it is; leave out {', '.join(useless)}, or give --model")
        about = {"results": str(results), "annotations": str(annotations_of(data)), "evaluator": evaluator}
        choices = file_effects(results, annotations_of(data), evaluator=evaluator)  # type: ignore[arg-type]
        lines = list[str]()
    else:
        from sharpose.evaluation.variations import network_effects

        choices, about = network_effects(evaluation_of(options))
        lines = [
            f"{about['model']} on {about['annotations']}: {about['people']} boxes ({about['boxes']}), "
            f"decoder {about['decoder']}, flip test {'on' if flip_test else 'off'}"
        ]
        lines += [f"note: {line}" for line in about["notes"]]
    facts = {name: one.facts for name, one in choices.items()}
    show({**about, "choices": facts}, as_json, "\n".join([*lines, as_text(*moves(facts))]))


def moves(choices: Mapping[str, Mapping[str, float | None]]) -> tuple[list[str], list[list[str]]]:
    """Return COCO's figures of every choice, and what it moves AP by, in points."""
    rows = []
    for name, one in choices.items():
        moved, low, high = ("–" if (x := one[key]) is None else f"{round(100 * x, 1) + 0:+.1f}" for key in MOVED)
        figures = [percent(one[key]) for key in ("ap50", "ap75", "ar")]
        rows.append([name, percent(one["ap"]), f"{moved} [{low}, {high}]", *figures])
    return ["choice", "AP", "moved", "AP50", "AP75", "AR"], rows


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return what files are called in tables: their names, with the folder in front where several share one."""
    shared = Counter(Path(path).name for path in paths)
    return {path: "/".join(Path(path).parts[-2 if shared[Path(path).name] > 1 else -1 :]) for path in paths}


def figures(files: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return COCO's figures of every file."""
    names = ("ap50", "ap75", "ap_m", "ap_l", "ar")
    rows = [
        [
            one["name"],
            f"{percent(one['ap'])} [{percent(one['ap_low'])}, {percent(one['ap_high'])}]",
            *(percent(one[name]) for name in names),
            f"{one['results']:,}",
        ]
        for one in files
    ]
    return ["file", "AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "results"], rows


def differences(comparisons: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return each later file against the first, in points of AP."""
    rows = [
        [
            f"{one['second']} − {one['first']}",
            f"{100 * one['value']:+.1f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]",
            f"{one['p']:.3f}",
            one["verdict"],
            f"{100 * one['detectable']:.1f}",
        ]
        for one in comparisons
    ]
    margin = f"{100 * comparisons[0]['margin']:g}"
    return ["difference", "AP", "p (Holm)", f"verdict (margin {margin})", "smallest detectable"], rows


def errors(files: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the fractions of matched people's labelled keypoints by kind of error."""
    kinds = list(files[0]["errors"])
    rows = []
    for one in files:
        total = sum(one["errors"].values())
        shares = [f"{100 * count / total:.1f}" if total else "–" for count in one["errors"].values()]
        rows.append([one["name"], *shares, f"{total:,}"])
    return ["keypoints, %", *kinds, "judged"], rows


def keypoints(files: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return AP of each keypoint alone."""
    header = ["AP of one keypoint", *(one["name"] for one in files)]
    names = files[0]["keypoint_ap"]
    return header, [[name, *(percent(one["keypoint_ap"][name]) for one in files)] for name in names]


def as_text(header: list[str], rows: list[list[str]]) -> str:
    """Return a table for a terminal, columns aligned to the left."""
    return "\n".join(aligned([header, *rows]))


def as_markdown(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown, with vertical bars in cells escaped."""
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_latex(header: list[str], rows: list[list[str]]) -> str:
    """Return a `tabular` with booktabs rules; the first column is aligned to the left, all others to the right."""

    def line(cells: list[str]) -> str:
        plain = [cell.replace("_", r"\_").replace("%", r"\%").replace("−", "$-$").replace("–", "--") for cell in cells]
        return " & ".join(plain) + r" \\"

    body = [line(header), r"\midrule", *map(line, rows)]
    edges = [rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule"], [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*edges[0], *body, *edges[1]])


STYLES: dict[str, Callable[[list[str], list[list[str]]], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "latex": as_latex,
}


FILLINGS = (("#0072B2", ""), ("#D55E00", "//"), ("#009E73", ""), ("#CC79A7", "xx"), ("#56B4E9", ""))
"""Of kinds of errors: colours that colour-blind readers tell apart (Okabe and Ito), and what print leaves of them."""


def draw_errors(files: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw one bar per file, the shares of the kinds of errors in it. Raises InputError without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ModuleNotFoundError:
        raise InputError("--figure needs matplotlib; pip install 'sharpose[harness]'") from None
    header, rows = errors(files)
    shares = [[float(cell) if cell != "–" else 0.0 for cell in row[1:-1]] for row in rows]
    plot, axes = pyplot.subplots(figsize=(7, 0.9 + 0.45 * len(rows)), layout="constrained")
    left = [0.0] * len(rows)
    for kind, widths, (colour, hatch) in zip(header[1:-1], zip(*shares, strict=True), FILLINGS, strict=True):
        how: dict[str, Any] = {"left": left, "label": kind, "color": colour, "hatch": hatch, "edgecolor": "white"}
        axes.barh([row[0] for row in rows], widths, **how)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("labelled keypoints of matched people, %")
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    plot.savefig(path, dpi=150)
    pyplot.close(plot)
