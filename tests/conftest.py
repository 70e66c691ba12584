"""What every test may use: the folder of shared reference data, and shape checks while tests run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from sharpose.data.coco import CocoTopDown

ROOT = Path(__file__).resolve().parents[1]
# all that has shapes; configurations check their own fields, with messages for users
MODELS = ROOT / "sharpose" / "models"
NETWORKS = [path for path in MODELS.rglob("*.py") if "import Tensor" in path.read_text()]
# what a user asks of post-processing is checked with messages, too
METRICS = [path for path in (ROOT / "sharpose/evaluation/metrics").glob("*.py") if path.stem != "postprocess"]
ARRAYS = ["sharpose.codecs", "sharpose.pose"]
CHECKED = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in NETWORKS + METRICS] + ARRAYS
install_import_hook(CHECKED, "beartype.beartype")

SHARED = Path(os.environ.get("SHARPOSE_SHARED", ROOT.parent / "shared"))


# signals of a terminal are heard, here and in what tests start, also under nohup or in a shell's background
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# tables are as wide as the terminal, which is no fact about them
os.environ["COLUMNS"] = "140"


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Fail what leaves torch with another number of threads: later tests would compute with them, and slowly."""
    before = threads_of_torch()
    yield
    after = threads_of_torch()
    if None not in (before, after) and after != before:
        sys.modules["torch"].set_num_threads(before)
        pytest.fail(f"torch had {before} threads before this test, and {after} after it")


def threads_of_torch() -> int | None:
    """How many threads torch computes with; None where it is not imported."""
    return getattr(sys.modules.get("torch"), "get_num_threads", lambda: None)()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden cases and real photographs; a clone without it skips the tests that need it."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"no reference data at {SHARED} (set SHARPOSE_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Path]:
    """The folder of a golden case by name: the shared reference's, else one of the small ones of the repository."""

    def find(name: str) -> Path:
        for folder in (SHARED / "golden", ROOT / "tests" / "golden"):
            if (folder / name).is_dir():
                return folder / name
        pytest.skip(f"no golden case {name} at {SHARED} (set SHARPOSE_SHARED), and it is too large for tests/golden")

    return find


@pytest.fixture(scope="session")
def six_people(tmp_path_factory: pytest.TempPathFactory) -> CocoTopDown:
    """Six generated pictures, cropped to 128x96 and kept in memory."""
    from sharpose.data.cache import MannequinSet, ensure
    from sharpose.data.coco import CocoTopDown

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARPOSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        people = ensure(MannequinSet("val", 6, 3))
        return CocoTopDown(people.annotations_file, people.images_folder, image_size=(128, 96), preload=True)
