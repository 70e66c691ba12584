"""The public names of OKDHP's weights."""

from __future__ import annotations

from sharpose.models.layout import Layout, Table

OFFICIAL: Table = ((r"^(?=(?:hg|res|fc|score|fc_|score_)\.)", "shared."),)

LAYOUTS = (Layout("official", OFFICIAL),)
