"""The specs of the paper's tables: every published value, every model, and why what is missing is missing."""

from __future__ import annotations

import pytest

from experiments.cells.cells import cells
from experiments.cells.provenance import Device
from experiments.spec.catalog import Catalog, Places
from experiments.spec.reading import NO_TABLES, find_specs, load_spec, load_specs
from experiments.spec.spec import FOLDER
from experiments.spec.yamlfile import SpecError
from sharpose.models.registry import list_models, resolve_config

CPU = Device("cpu", "Some CPU", 2)

# as printed; Table 4's AP_L and AP_M look swapped in the paper
# AP, AP50, AP75, AP_L, AP_M, AR, FPS, GFLOPs
SCORES = ("ap", "ap50", "ap75", "ap_l", "ap_m", "ar", "images_per_s", "gflops")
TABLE_3 = {
    "TokenPose-T 256x192": (65.6, 86.4, 73.0, 71.5, 63.1, 72.1, 348.1, 1.2),
    "ViTPose-S 256x192": (73.8, 90.3, 81.3, 75.8, 67.1, 79.1, 360.3, 5.7),
    "SHaRPose-S 256x192": (74.2, 90.2, 81.8, 80.3, 71.2, 79.5, 498.3, 4.9),
    "SimpleBaseline-R152 256x192": (73.6, 90.4, 81.8, 80.1, 70.1, 79.1, 195.1, 12.8),
    "HRNet-W48 256x192": (75.1, 90.6, 82.2, 81.8, 71.5, 80.4, 193.5, 15.8),
    "HRFormer-B 256x192": (75.6, 90.8, 82.8, 82.6, 71.7, 80.8, 122.3, 14.7),
    "TokenPose-L/D6 256x192": (75.4, 90.0, 81.8, 82.4, 71.8, 80.4, 348.2, 9.9),
    "ViTPose-B 256x192": (75.8, 90.7, 83.2, 78.4, 68.7, 81.1, 340.2, 18.6),
    "SHaRPose-B 256x192": (75.5, 90.6, 82.3, 82.2, 72.2, 80.8, 392.8, 17.1),
    "HRNet-W48 384x288": (76.3, 90.8, 82.9, 83.4, 72.3, 81.2, 152.3, 35.5),
    "ViTPose-B 384x288": (76.9, 90.9, 83.2, 83.9, 73.1, 82.1, 143.3, 44.1),
    "SHaRPose-S 384x288": (75.2, 90.8, 83.0, 81.2, 72.0, 80.9, 395.3, 11.0),
    "SHaRPose-B 384x288": (77.4, 91.0, 84.1, 84.2, 73.7, 82.4, 196.6, 32.9),
}
TABLE_4 = {
    "SimpleBaseline-R152": (73.7, 91.9, 81.1, 70.3, 80.0, 79.0, 153.5, 28.7),
    "UDP-HRNet-W48": (76.5, 92.7, 84.0, 73.0, 82.4, 81.6, 152.3, 35.5),
    "DARK-HRNet-W48": (76.2, 92.5, 83.6, 72.5, 82.4, 81.1, 150.4, 32.9),
    "TokenPose-L/D24": (75.9, 92.3, 83.4, 72.2, 82.1, 80.8, 117.2, 22.1),
    "ViTPose-B": (76.2, 92.7, 83.7, 72.6, 82.3, 81.3, 143.3, 44.1),
    "SHaRPose-B": (76.7, 92.8, 84.4, 73.2, 82.6, 81.6, 196.6, 32.9),
}
TABLE_5 = {
    "SimpleBaseline-R152": (89.0, 66.9),
    "HRNet-W48": (90.1, 47.1),
    "TokenPose-L/D24": (90.2, 65.5),
    "OKDHP": (90.6, None),
    "SHaRPose-B": (91.4, 212.4),
}
TABLE_7 = {
    "no reduction": (None, None, None, None),
    "DynamicViT": (71.8, 89.4, 182.8, 12.8),
    "EViT": (72.7, 90.1, 424.1, 12.8),
    "ToMe": (None, None, None, None),
    "SHaRPose-S": (74.2, 90.2, 498.3, 4.9),
    "SHaRPose-B": (75.5, 90.6, 392.8, 17.1),
}
TABLE_8 = {
    "Coarse-None": (67.9, 88.8, 453.4, 5.7),
    "None-Fine": (74.7, 90.6, 302.9, 17.5),
    "Coarse-Coarse": (68.4, 89.0, 417.7, 13.3),
    "Coarse-NoSel-Fine": (75.7, 89.0, 239.5, 24.9),
    "Coarse-Sel-Fine": (75.5, 90.6, 392.8, 17.1),
}
TABLE_1 = {
    "HRNet-W48 256x192": (75.1, 194, 15.8),
    "HRNet-W48 384x288": (76.3, 152, 35.5),
    "ViTPose-B 256x192": (75.8, 340, 18.6),
    "ViTPose-B 384x288": (76.9, 143, 44.1),
}
TABLE_2 = {
    "SHaRPose-S 256x192, D 384, α 0.5": (28.4, 4.9, 498.3),
    "SHaRPose-S 384x288, D 384, α 0.5": (48.3, 11.0, 395.3),
    "SHaRPose-B 256x192, D 768, α 0.4": (93.9, 17.1, 392.8),
    "SHaRPose-B 384x288, D 768, α 0.3": (118.1, 32.9, 196.6),
}
SHORT = ("ap", "ap50", "images_per_s", "gflops")


@pytest.mark.parametrize(
    ("name", "keys", "published"),
    [
        ("table1", ("ap", "images_per_s", "gflops"), TABLE_1),
        ("table2", ("params", "gflops", "images_per_s"), TABLE_2),
        ("table3", SCORES, TABLE_3),
        ("table4", SCORES, TABLE_4),
        ("table5", ("pckh", "images_per_s"), TABLE_5),
        ("table7", SHORT, TABLE_7),
        ("table8", SHORT, TABLE_8),
    ],
)
def test_published_values_are_as_printed_and_nothing_else_is_given(name, keys, published):
    rows = load_spec(FOLDER / f"{name}.yaml").spec.rows
    assert {row.label: tuple(getattr(row.paper, key) for key in keys) for row in rows} == published
    assert all(row.paper.model_fields_set <= set(keys) for row in rows)


def test_all_tables_are_there_and_every_model_resolves():
    specs = load_specs(["all"])
    tables = [loaded for loaded in specs if loaded.id.startswith("table")]
    assert [loaded.id for loaded in tables] == [f"table{n}" for n in ("1", "2", "3", "4", "5", "6a", "6b", "7", "8")]
    assert [loaded.id for loaded in load_specs(["photos"])] == [
        "photos-coco", "photos-lspet", "photos-peers-lspet", "photos-peers",
    ]  # fmt: skip
    assert [loaded.id for loaded in load_specs()] == [loaded.id for loaded in specs]
    settings = [loaded.settings(row) for loaded in tables for row in loaded.spec.rows]
    assert {s.model for s in settings} - {"mean-pose"} <= set(list_models())
    # the published cost of SHaRPose is that of refining everyone
    sharpose = [s for s in settings if s.model.startswith("sharpose") and s.options.get("quality_threshold") != -1]
    assert sharpose and all(s.options["quality_threshold"] is None for s in sharpose)


def test_sharpose_on_mpii_has_its_size_and_keypoints():
    loaded = load_spec(FOLDER / "table5.yaml")
    settings = loaded.settings(loaded.spec.rows[-1])
    config = resolve_config(settings.model, **settings.options)
    assert (config.image_size, config.heatmap_size, config.num_keypoints) == ((256, 256), (64, 64), 16)


@pytest.mark.parametrize("tier", ["nano", "photos", "small"])
def test_stand_ins_are_models_that_keep_the_system(tier):
    catalog = Catalog(tier)
    for model, stand_in in catalog.tier.models.items():
        assert type(resolve_config(model)) is type(resolve_config(stand_in))
    assert set(catalog.tier.without) <= {*list_models(), *catalog.tiers.datasets}
    assert not set(catalog.tier.without) & {*catalog.tier.models, *catalog.tier.datasets}


@pytest.mark.parametrize("tier", ["nano", "photos", "small", "paper"])
def test_no_cell_is_blocked_without_a_reason_of_its_own(tier, tmp_path):
    catalog = Catalog(tier, Places(weights=tmp_path))
    every = [cell for loaded in load_specs() for cell in cells(loaded, catalog, CPU)]
    blocked = {(cell.spec, cell.row): cell.blocked for cell in every if cell.blocked and cell.seed is None}
    assert all(cell.measure in ("accuracy", "predictions") for cell in every if cell.blocked)
    assert not [reason for reason in blocked.values() if "add one to" in reason]
    if tier == "nano":
        assert "does not divide 192x144" in blocked["table4", "SimpleBaseline-R152"]
        udp = blocked["table4", "UDP-HRNet-W48"]
        assert udp.startswith("no weights of hrnet-nano-192x144-udp (sharpose train-missing")
        assert "no weights of okdhp-hourglass-nano-128x128-mpii" in blocked["table5", "OKDHP"]
        assert "tokenpose-nano-d12-128x128-mpii" in blocked["table5", "TokenPose-L/D24"]
        assert "SHARPOSE_LSPET" in blocked["photos-lspet", "mean pose"]
        # what only the time of training would fill is asked for by the budget
        wanted = {reason for (spec, _), reason in blocked.items() if spec in ("table1", "table3", "table4", "table5")}
        assert not [reason for reason in wanted if "weights of" in reason and "train-missing" not in reason]
        assert "no weights of sharpose-nano-small-128x96" in blocked["table3", "SHaRPose-S 256x192"]
        assert "no weights of hrnet-nano-192x144 " in blocked["table3", "HRNet-W48 384x288"]
        assert blocked["table7", "EViT"].startswith(
            "no weights of evit-nano-128x96 (sharpose train-missing --tier nano)"
        )
    if tier == "paper":
        assert "not public" in blocked["table4", "SHaRPose-B"]
        assert "give its folder with SHARPOSE_MPII" in blocked["table5", "OKDHP"]
        assert "SHARPOSE_COCO" in blocked["table3", "HRNet-W48 384x288"]


def test_a_network_of_one_stage_has_weights_of_its_own(tmp_path, write_weights):
    write_weights(tmp_path / "nano", "sharpose-nano-128x96")
    catalog = Catalog("nano", Places(weights=tmp_path))
    found = {
        cell.row: cell
        for cell in cells(load_spec(FOLDER / "table8.yaml"), catalog, CPU)
        if (cell.measure, cell.seed) == ("accuracy", None)
    }
    assert "no weights of sharpose-nano-128x96-coarse" in found["Coarse-None"].blocked
    assert found["Coarse-Sel-Fine"].weights == tmp_path / "nano/sharpose-nano-128x96.safetensors"
    assert "no weights of keypoint-vit-nano-128x96" in found["None-Fine"].blocked


def test_cells_of_the_same_network_are_measured_once():
    catalog = Catalog("nano")
    ids = {
        (cell.spec, cell.row, cell.measure): cell.run_id
        for loaded in load_specs()
        for cell in cells(loaded, catalog, CPU)
    }
    for measure in ("cost", "throughput"):
        same = [
            ("table3", "SHaRPose-B 256x192"),
            ("table6a", "0.4"),
            ("table7", "SHaRPose-B"),
            ("table8", "Coarse-Sel-Fine"),
        ]
        assert len({ids[(*row, measure)] for row in same}) == 1
        assert ids["table4", "SHaRPose-B", measure] == ids["table6b", "0.3", measure]
        assert ids["table7", "no reduction", measure] == ids["table8", "None-Fine", measure]


def test_all_means_every_spec():
    assert find_specs("all") == sorted(path for path in FOLDER.glob("*.yaml") if path.stem not in NO_TABLES)
    with pytest.raises(SpecError, match="no spec is called"):
        find_specs("9")
