"""What pyproject.toml cannot say: some weights of results/weights, of which git has one copy, go into the wheel too."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# small ones, with those that a bare name means, and those of sharpose.weights.pretrained.DEFAULT, so that an installed
# wheel predicts at once
SHIPPED = (
    "nano/sharpose-nano-128x96",
    "photos/sharpose-nano-128x96",
    "small/vitpose-small-256x192",
)


class WithWeights(build_py):
    """Put the weights that ship, and their manifests, into sharpose/weights/shipped."""

    @property
    def shipped(self) -> list[Path]:
        """Their files in the checkout."""
        weights = Path("results", "weights")
        return [weights / f"{name}{suffix}" for name in SHIPPED for suffix in (".safetensors", ".json")]

    def get_source_files(self) -> list[str]:
        """Return what a source distribution holds of what a wheel is built from."""
        return super().get_source_files() + [str(path) for path in self.shipped]

    def run(self) -> None:
        """Build the modules, then copy the shipped weights and their manifests beside them."""
        super().run()
        # an editable installation reads those of the checkout
        for path in () if self.editable_mode else self.shipped:
            target = Path(self.build_lib, "sharpose", "weights", "shipped", *path.parts[2:])
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": WithWeights})
