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

    def run(self) -> None:
        """Build the modules, then copy the shipped weights and their manifests beside them."""
        super().run()
        # an editable installation reads those of the checkout
        for name in () if self.editable_mode else SHIPPED:
            for suffix in (".safetensors", ".json"):
                target = Path(self.build_lib, "sharpose", "weights", "shipped", name + suffix)
                self.mkpath(str(target.parent))
                self.copy_file(str(Path("results", "weights", name + suffix)), str(target))


setup(cmdclass={"build_py": WithWeights})
