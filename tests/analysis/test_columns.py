"""What nobody knows is an error and no other column or measurement."""

from __future__ import annotations

import pytest

from analysis.tables.columns import Context, printed_columns
from experiments.cells.cells import Cell
from experiments.cells.measures import measure
from experiments.cells.provenance import local_device
from experiments.spec.catalog import open_catalog
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER, LoadedSpec
from sharpose.runtime.errors import InputError


def test_an_unknown_column_is_an_error() -> None:
    loaded = load_spec(FOLDER / "table6a.yaml")
    spec = loaded.spec.model_copy(update={"columns": ["gflops", "beauty"]})
    changed = LoadedSpec(loaded.id, loaded.path, spec, loaded.file)
    with pytest.raises(InputError, match=r"table6a\.yaml:\d+: nothing is known of a column 'beauty'"):
        list(printed_columns(Context(changed, [], open_catalog(), local_device("cpu"))))


def test_an_unknown_measure_is_an_error() -> None:
    cell = Cell("table6a", "0.3", "beauty", "nano", "sharpose-nano-128x96", {})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"table6a 0\.3: beauty: no measurement is called 'beauty'"):
        list(measure([cell], None, open_catalog(), local_device("cpu"), lambda done, total: None))
