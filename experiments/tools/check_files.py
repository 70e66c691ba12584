"""What must not be committed: notebooks with outputs, and large files (`.pre-commit-config.yaml` calls this).

python -m experiments.tools.check_files --notebooks notebooks/*.ipynb
python -m experiments.tools.check_files --large FILE …
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.tools.module import options

LARGEST = 2**20


def faults(paths: Sequence[Path], notebooks: bool, large: bool) -> list[str]:
    """Return a line for each file that must not be committed as it is."""
    found = []
    for path in paths:
        if large and path.stat().st_size > LARGEST:
            found.append(f"{path}: {path.stat().st_size:,} bytes, more than {LARGEST:,}")
        if notebooks and any(cell.get("outputs") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]):
            found.append(f"{path}: holds outputs; clear them")
    return found


def main() -> None:
    """Print what is wrong with the files named; exit code 1 where something is."""
    parser = options(__doc__)
    parser.add_argument("--notebooks", action="store_true", help="no outputs")
    parser.add_argument("--large", action="store_true", help="no file above 1 MiB")
    parser.add_argument("paths", nargs="+", type=Path)
    chosen = parser.parse_args()
    found = faults(chosen.paths, chosen.notebooks, chosen.large)
    print("\n".join(found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
