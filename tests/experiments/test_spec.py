"""A mistake in a spec is one line that names file, line, key and the way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.spec.reading import find_specs, load_spec, load_specs
from experiments.spec.spec import FOLDER, SCHEMA, json_schema, save_schema
from experiments.spec.yamlfile import MAX_BYTES, SpecError
from sharpose.runtime.errors import InputError

TEXT = (FOLDER / "table6a.yaml").read_text()

# what is changed in table6a.yaml: (old text, new text, what is said)
MISTAKES = [
    ("paper: {ap: 74.8", "papre: {ap: 74.8", "unknown key 'papre' in rows[4]; did you mean 'paper'?"),
    ("gflops: 15.8", "gflop: 15.8", "unknown key 'gflop' in rows[4].paper; did you mean 'gflops'?"),
    ("rows:", "rwos:", "unknown key 'rwos'; did you mean 'rows'?"),
    ("model.alpha: 0.3", "model.alpha: 1.3", "row '0.3': alpha = 1.3 does not work: it must be less than or"),
    ("model.alpha: 0.3", "model.alpha: .nan", "alpha = nan does not work"),
    ("model.alpha: 0.3", "model.alhpa: 0.3", "no option 'alhpa'; did you mean 'alpha'?"),
    ("model.alpha: 0.3", "modle.alpha: 0.3", "unknown key 'modle.alpha' in rows[4].set; did you mean 'model.alpha'?"),
    ("model.alpha: 0.3", "datasett: x", "unknown key 'datasett' in rows[4].set; did you mean 'dataset'?"),
    ("model.alpha: 0.3", "model.name: x", "row '0.3': a model option has a value of the wrong kind"),
    ("quality_threshold: null", "quality_threshold: .inf", "quality_threshold = inf does not work"),
    (
        "model: sharpose-base",
        "model: sharpos-base",
        "base.model: no model is called 'sharpos-base-256x192'; did you mean",
    ),
    (
        "model: mean-pose",
        "model: mean-posse",
        "rows[18].set.model: no model is called 'mean-posse'; did you mean 'mean-pose'?",
    ),
    (
        "boxes: ground-truth",
        "boxes: detectd",
        "base.boxes = 'detectd' does not work: it must be ground-truth or detections",
    ),
    (
        "flip_test: true",
        "weights: bets",
        "base.weights = 'bets' does not work: it must be a .safetensors file, its path from the spec's folder",
    ),
    (
        "flip_test: true",
        "training: Guided 2",
        "base.training = 'Guided 2' does not work: it must be which training of it, the last words of its weights'",
    ),
    (
        "flip_test: true",
        'training: "guided\\n"',
        "base.training = 'guided\\n' does not work: it must be which training of it",
    ),
    ("{model: mean-pose}", "{model: mean-pose, training: guided}", "training goes with a model of ours"),
    ("flip_test: true", "flip_test: 1", "base.flip_test = 1 does not work: it must be true or false"),
    (
        "measure: [accuracy,",
        "measure: [acuracy,",
        "measure[0]: no measure is called 'acuracy'; did you mean 'accuracy'?",
    ),
    ("batch_size: 2", "batch_size: 0", "throughput.batch_size = 0 does not work"),
    ("rounds: 12", "rounds: 3", "throughput.rounds = 3 does not work: it must be greater than or equal to 10"),
    ("ap: 68.4", "ap: 684", "rows[1].paper.ap = 684 does not work"),
    ("gflops: 13.3", "gflops: .inf", "rows[1].paper.gflops = inf does not work"),
    ('label: "0.3"', "label: 0.3", "rows[4].label = 0.3 does not work: it must be a valid string"),
    ('label: "0.3"', 'label: "0.4"', "label '0.4' is used 2 times"),
    ('with: "1.0"', 'with: "1.1"', "compare_with: no row is labelled '1.1'; did you mean '1.0'?"),
    ('label: "0.3"', 'label: "0.3", label: "0.3"', "key 'label' in rows[4] repeats line"),
    ("set: {model.alpha: 0.3}", "set: {0.3: 1}", "a key in rows[4].set must be text; put it in quotes"),
    ("set: {model.alpha: 0.3}", "set: [1]", "rows[4].set = [1] does not work: it must be a valid dictionary"),
    ("set: {model.alpha: 0.3}", "set: &a {model.alpha: 0.3}", "anchors and aliases"),
    (
        "{model: mean-pose}\n    measure: [accuracy]",
        "{model: mean-pose}\n    measure: [cost]",
        "mean-pose has neither cost nor speed",
    ),
    ("title:", "title: !!python/object:os.system x\nt:", "not valid YAML: could not determine a constructor"),
]


PAPER_ROWS = ("coarse only", "0.0", "0.3", "0.4", "0.5", "1.0", "mean pose")
"""Rows of Table 6a, but for controls of the selection and values of α that the paper lacks."""


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_spec(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text
    return text


@pytest.mark.parametrize(("old", "new", "wanted"), MISTAKES, ids=[new for _, new, _ in MISTAKES])
def test_a_mistake_is_named_with_its_line(tmp_path, old, new, wanted):
    assert TEXT.count(old) >= 1
    path = tmp_path / "broken.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    said = message(path)
    assert wanted in said
    line = int(said.removeprefix(f"{path}:").split(":")[0])
    changed = TEXT[: TEXT.index(old)].count("\n") + 1
    # what concerns a whole row is reported where the row begins
    assert 0 <= changed - line <= 2 or line == changed + 1


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "mapping of keys"),
        (b"- 1", "mapping of keys"),
        (b"a: [1, 2", "not valid YAML"),
        (b"[" * 9000, "nested too deeply"),
        (b"\x00", "not valid YAML"),
        (b"\xff\xfe\xff", "not valid YAML"),
        (b"title: 2001-99-99", "not valid YAML"),
        (b"title: !!int x", "not valid YAML"),
        (b"#" * (MAX_BYTES + 1), "no spec"),
    ],
)
def test_what_is_no_spec_is_one_line_too(tmp_path, content, wanted):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    assert wanted in message(path)


def test_a_missing_file_is_named(tmp_path):
    assert "No such file" in message(tmp_path / "absent.yaml")
    assert "cannot be read" in message(tmp_path)


def test_rows_are_differences_from_the_base():
    loaded = load_spec(FOLDER / "table6a.yaml")
    paper = [row for row in loaded.spec.rows if row.label in PAPER_ROWS]
    settings = [loaded.settings(row) for row in paper]
    assert [s.options.get("alpha") for s in settings] == [None, 0.0, 0.3, 0.4, 0.5, 1.0, None]
    assert [s.options["quality_threshold"] for s in settings] == [-1, *[None] * 6]
    assert all(s.boxes == "ground-truth" for s in settings)
    assert [s.model for s in settings[:6]] == ["sharpose-base-256x192"] * 6
    assert settings[6].model == "mean-pose"
    assert loaded.measures(paper[6]) == ["accuracy"]
    assert loaded.seeds(paper[1]) == [0, 1, 2]
    # a control is compared with its row, and is no training
    (control,) = [row for row in loaded.spec.rows if row.label == "constant map, 0.3"]
    assert loaded.settings(control).options["selection"] == "constant" and loaded.seeds(control) == []


def test_the_papers_values_are_those_of_its_tables():
    rows = {
        loaded.id: {row.label: (row.paper.ap, row.paper.gflops) for row in loaded.spec.rows}
        for loaded in load_specs(["6"])
    }
    assert {label: values for label, values in rows["table6a"].items() if label in PAPER_ROWS} == {
        "coarse only": (None, None),
        "0.0": (68.4, 13.3),
        "0.3": (74.8, 15.8),
        "0.4": (75.5, 17.1),
        "0.5": (75.5, 18.2),
        "1.0": (75.7, 24.9),
        "mean pose": (None, None),
    }
    assert all(values == (None, None) for label, values in rows["table6a"].items() if label not in PAPER_ROWS)
    given = {label: values for label, values in rows["table6b"].items() if values != (None, None)}
    assert given == {"0.3": (77.4, 32.9), "0.5": (77.5, 38.9)}


def test_names_find_specs():
    assert [path.stem for path in find_specs("6")] == ["table6a", "table6b"]
    assert [path.stem for path in find_specs("6a")] == ["table6a"]
    assert [path.stem for path in find_specs("table6b")] == ["table6b"]
    assert [loaded.id for loaded in load_specs(["6", "6a"])] == ["table6a", "table6b"]
    with pytest.raises(SpecError, match="did you mean 'table6a'"):
        find_specs("tabel6a")
    with pytest.raises(SpecError, match="no spec is called"):
        find_specs("(")


def test_the_schema_for_editors_is_current():
    assert json.loads(SCHEMA.read_text()) == json_schema(), "run `make schema`"


def test_the_schema_is_written_again_as_it_is(tmp_path):
    assert save_schema(tmp_path / "schema.json").read_bytes() == SCHEMA.read_bytes()
