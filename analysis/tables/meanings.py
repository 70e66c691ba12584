"""What every column means, of specs and of CSV files: `python -m analysis.tables.meanings` writes docs/columns.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from analysis.tables.cell_text import AMOUNTS
from experiments.spec.columns import COLUMNS, SCORES
from results.store import ROOT, write

PAGE = ROOT.parent / "docs" / "columns.md"

# name: unit ("" for none), meaning
FILES: dict[str, tuple[str, str]] = {
    "label": ("", "the row's name in its table"),
    "row_id": ("", "TABLE: LABEL, unique over all files; lines of one row (thresholds, blocks, devices) share it"),
    "model": ("", "the model that the row asks for; at other tiers than paper a small one stands for it in accuracy"),
    **{name: ("%", title) for name, title in SCORES.items()},
    "ap_seed_mean": ("%", "mean AP over trainings with their own initialisation"),
    "ap_seed_sd": ("%", "sample standard deviation of AP over them"),
    "ap_seed_low": ("%", "lower end of the 95 % t-interval of their mean"),
    "ap_seed_high": ("%", "upper end of it"),
    "ap_seeds": ("", "how many trainings there are"),
    "refined": ("share", "refine rate: people who went through the fine stage"),
    **{name: ("", COLUMNS[name].meaning) for name in ("kept", "batch_size")},
    "gflops": ("1e9", "multiply-adds of a fully refined person by fvcore, which the paper calls GFLOPs"),
    "gmacs": ("1e9", "the same number, or `macs`, under its own name"),
    "gflops_expected": ("1e9", "multiply-adds of a person on average, by who was refined"),
    "params": ("1e6", "parameters"),
    "images_per_s": ("1/s", "people a second"),
    "latency_ms_p50": ("ms", "median time of a call"),
    "latency_ms_p90": ("ms", "its 90th percentile"),
    "latency_ms_p99": ("ms", "its 99th percentile"),
    "refine_rate": ("share", "people of a call who are refined, where that was set"),
    "noisy": ("", "whether rounds of the timing were further apart than allowed"),
    "device": ("", "the machine that was timed"),
    "speed_relative": ("×", "speed over that of the table's row of comparison"),
    "crops": ("", "crops that the weights have learnt from"),
    "start": ("", "what the training began from"),
    "learning_rate": ("", "the training's learning rate"),
    "last_doubling_ap": ("%", "AP that the last doubling of crops brought"),
    "tier": ("", "the scale at which accuracy was measured"),
    "people": ("", "annotated people that accuracy was measured on"),
    "threshold": ("", "the quality threshold below which a person is refined"),
    "exited_percent": ("%", "people who exit early, after the coarse stage"),
    "ap_by_gain": ("%", "AP of as many exits by a gate that knew the true gain"),
    "ap_by_true_quality": ("%", "AP of as many exits by the true OKS of the coarse answer"),
    "rank_correlation": ("", "Spearman's, of predicted and true quality"),
    "explained": ("share", "variance of the truth that the prediction explains (R²)"),
    "block": ("", "number of a transformer block, from 1"),
    "tokens": ("", "tokens that enter it"),
    "stage": ("", "coarse, fine, head or total"),
    "torch": ("1e9", "multiply-adds by torch's counter, matmuls and convolutions alone"),
    "formula": ("1e9", "the closed form's matmuls and convolutions"),
    "formula_all": ("1e9", "the closed form with norms and resizing"),
    "fvcore": ("1e9", "fvcore's count with norms and resizing"),
    "spread_percent": ("%", "how far the three counts of matmuls and convolutions are apart"),
    "elements_percent": ("%", "what norms and resizing add to them"),
    "backend": ("", "what ran the model"),
    "precision": ("", "numbers it computed in"),
    "scope": ("", "what is inside the time: the model, flip test and decoding, or everything from the file on"),
    "against": ("", "the row that a speed is set against"),
    "ratio": ("×", "speed over that row's, timed interleaved"),
    "wanted": ("×", "the ratio that was aimed at"),
    "peak_memory_mib": ("MiB", "peak memory of a process of its own"),
    "macs": ("", "multiply-adds of a person"),
    "macs_per_s": ("1/s", "multiply-adds a second"),
    "macs_per_byte": ("1/B", "multiply-adds per byte that has to be moved"),
    "matmul_macs_per_s": ("1/s", "the machine's own rate of a large fp32 matmul, in the same run"),
    "copy_bytes_per_s": ("B/s", "its rate of a large copy"),
    "share_of_matmul_rate": ("share", "of that matmul's rate that was reached"),
    "share_of_roof": ("share", "of what both rates allow"),
    "joules_per_image": ("J", "energy, where the machine has a counter"),
    "heatmaps_relative_error": ("", "distance of the heatmaps from torch's in fp32, relative to their norm"),
    "products": ("", "in operators: fraction of time in matmuls; in counters: fvcore's matmuls and convolutions, 1e9"),
    "convolutions": ("share", "of time in convolutions"),
    "attention": ("share", "of time in attention"),
    "copies": ("share", "of time in copies"),
    "activations": ("share", "of time in activations"),
    "norms": ("share", "of time in norms"),
    "softmax": ("share", "of time in softmax"),
    "other": ("share", "of time elsewhere"),
}
"""By the name of a column of a CSV file."""

# what is added to a name: what that makes of it
ENDINGS = {
    "_low": "lower end of its 95 % interval",
    "_high": "upper end of its 95 % interval",
    "_paper": "the paper's value",
    "_delta_percent": "ours against the paper's, in percent",
    "_minus_previous": "difference from the row above, on the same people",
    "_minus_all": "difference from refining everyone",
    "_minus_random": "difference from as many exits at random",
    "_minus_first": "difference from the first row",
    "_run_id": "record behind the measure (results/published/MEASURE/RUN_ID.json); several with spaces between",
}


def page() -> Iterator[str]:
    """Yield the lines of docs/columns.md."""
    yield "# Columns\n"
    yield "For those who read the CSV files or write a spec: what each column means. Written by"
    yield "`python -m analysis.tables.meanings`, never by hand.\n"
    yield "## Of a spec\n"
    yield "`columns:` of a file of `experiments/specs`, or of your own. The paper's values stand beside ours.\n"
    yield "| column | header | measure | what it prints |"
    yield "|---|---|---|---|"
    titles = {**SCORES, **{name: amount.title + amount.unit for name, amount in AMOUNTS.items()}}
    for name, column in COLUMNS.items():
        yield f"| `{name}` | {titles.get(name, '')} | {column.measure} | {column.meaning} |"
    yield "\n## Of a CSV file\n"
    yield "Files of `results/csv` (`make csv`), and what `sharpose table`, `run --table` and `export` write. Empty: not"
    yield "measured, or not published. Rows of several files are joined by `row_id`, or by a `_run_id`, which names one"
    yield "measurement wherever it appears.\n"
    yield "| column | unit | meaning |"
    yield "|---|---|---|"
    for name, (unit, meaning) in FILES.items():
        yield f"| `{name}` | {unit} | {meaning} |"
    yield "\n| ending | what it makes of a column |"
    yield "|---|---|"
    for end, meaning in ENDINGS.items():
        yield f"| `{end}` | {meaning} |"
    yield "\n`ap_NAME` and `pck_NAME` are scores on further people, `accuracy_NAME_run_id` their record."


def text() -> str:
    """Return docs/columns.md as it should be."""
    return "\n".join(page()) + "\n"


def main() -> None:
    """Write the page, or to the file that is named."""
    print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE, text().encode()))


if __name__ == "__main__":
    main()
