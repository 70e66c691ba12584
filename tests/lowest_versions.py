"""Print pip constraints that hold every requirement of pyproject.toml at the lowest version it allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
EXTRAS = ("harness", "dev")


def constraints(project: dict) -> list[str]:
    """Return one line per requirement with a lower bound: any build of it, as `numpy==1.26.*`, or `pytest==8.0.*`."""
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    found = [re.match(r"([\w-]+)>=([\w.]+)", requirement) for requirement in requirements]
    bounds = {one[1]: one[2] if "." in one[2] else f"{one[2]}.0" for one in found if one}
    return sorted(f"{name}=={bound}" + (".*" if "post" not in bound else "") for name, bound in bounds.items())


if __name__ == "__main__":
    print("\n".join(constraints(tomllib.loads(PYPROJECT.read_text())["project"])))
