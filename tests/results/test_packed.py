"""Arrays inside a record come back as they were, and nothing else is read."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest

from results.packed import pack, unpack
from results.records import StoreError

ARRAYS = {"points": np.arange(24, dtype=np.int16).reshape(2, 6, 2), "unit": np.array(20), "none": np.zeros((0, 3))}


def test_arrays_come_back_with_type_and_shape():
    found = unpack(pack(ARRAYS))
    assert list(found) == list(ARRAYS)
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        assert (found[name] == values).all()
    assert pack(ARRAYS) == pack(ARRAYS)


def test_damaged_text_is_one_line():
    text = pack(ARRAYS)
    for broken in ("", "?", text[:40], base64.b64encode(b"PK\x03\x04" + b"\0" * 80).decode()):
        with pytest.raises(StoreError, match="measure again"):
            unpack(broken)


def test_objects_are_never_unpickled():
    page = io.BytesIO()
    np.savez(page, trap=np.array([{}], dtype=object))
    with pytest.raises(StoreError, match="cannot be read"):
        unpack(base64.b64encode(page.getvalue()).decode())
