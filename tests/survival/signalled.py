"""`sharpose`, alone or under torchrun; FOLDER/RANK.steps says what step it begins, FOLDER/RANK.code how it ends.

python [-m torch.distributed.run …] tests/survival/signalled.py FOLDER train …
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from sharpose import cli
from sharpose.training import loop

folder, rank = Path(sys.argv.pop(1)), os.environ.get("RANK", "0")
original = loop.learning_rate


def learning_rate(recipe: Any, step: int, per_epoch: int) -> float:
    (folder / f"{rank}.steps").write_text(str(step))
    # nobody is through before the signal comes
    time.sleep(0.05)
    return original(recipe, step, per_epoch)


loop.learning_rate = learning_rate
try:
    cli.main()
except SystemExit as end:
    (folder / f"{rank}.code").write_text(str(end.code))
    raise
