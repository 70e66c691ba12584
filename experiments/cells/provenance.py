"""Where, when and by what a number was made; the device it was made on. Imports no torch."""

from __future__ import annotations

import math
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from sharpose.runtime.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = ("sharpose", "experiments", "results/*.py", "pyproject.toml")
PACKAGES = ("torch", "torchvision", "timm", "fvcore", "numpy", "opencv-python-headless", "pycocotools")
OPTIONAL_PACKAGES = ("onnx", "onnxruntime", "openvino", "transformers")

DeviceKind = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Device:
    """What ran the model: the processor's name, and for a CPU how many threads."""

    kind: DeviceKind
    name: str
    threads: int | None = None

    def __str__(self) -> str:
        return self.name if self.threads is None else f"{self.name}, {self.threads} threads"


def local_device(kind: str) -> Device:
    """Return this machine's device of a kind, `cpu` or `cuda`. Raises InputError when there is none."""
    if kind == "cpu":
        return Device("cpu", cpu_name(), usable_cores())
    if kind == "cuda":
        return Device("cuda", gpu_name())
    raise InputError(f"device {kind!r} is not known; use cpu or cuda")


def choose_device(kind: str) -> tuple[Device, str | None]:
    """Return the device of a kind, and why it cannot be used where it is not there."""
    try:
        return local_device(kind), None
    except InputError as error:
        if kind != "cuda":
            raise
        return Device("cuda", "none"), str(error)


@cache
def cpu_name() -> str:
    """Return the processor's model name; where a virtual machine hides it, with family and model numbers."""
    facts = cpu_facts()
    name = facts.get("model name") or output(["sysctl", "-n", "machdep.cpu.brand_string"])
    name = " ".join((name or platform.processor() or platform.machine()).split())
    if any(character.isdigit() for character in name) or "model" not in facts:
        return name
    return f"{name} (family {facts.get('cpu family')}, model {facts['model']}, stepping {facts.get('stepping')})"


def cpu_facts() -> dict[str, str]:
    """Return what Linux says about the first processor; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


@cache
def usable_cores() -> int:
    """Return cores this process may use, by its affinity and by the container's limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


@cache
def gpu_name() -> str:
    """Return the name of the first GPU that nvidia-smi lists. Raises InputError where it lists none."""
    names = (output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]) or "").splitlines()
    if not names:
        raise InputError("device cuda: no GPU here (nvidia-smi lists none); use --device cpu")
    return names[0].strip()


def provenance(device: Device) -> dict[str, Any]:
    """Return what a record says about its making."""
    changed = output(["git", "status", "--porcelain", "--", *CODE])
    return {
        "git_commit": output(["git", "rev-parse", "HEAD"]),
        "git_dirty": None if changed is None else bool(changed),
        "versions": {"python": platform.python_version(), **dict(versions())},
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(device),
        "device_kind": device.kind,
        "threads": device.threads,
        "load": [round(value, 2) for value in os.getloadavg()],
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(sys.argv),
    }


def command(words: list[str]) -> str:
    """Return what was called, without the folder that it lies in: a program, or `python -m` and a module."""
    program = Path(words[0])
    # python -m sharpose.cli runs …/sharpose/cli/__main__.py
    module = ["python", "-m", ".".join(program.parent.parts[-2:])] if program.name == "__main__.py" else [program.name]
    return shlex.join([*module, *words[1:]])


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """Return name and version of the packages that numbers may depend on; those that are not installed are left out."""
    found = {package: version_of(package) for package in (*PACKAGES, *OPTIONAL_PACKAGES)}
    return tuple((package, version) for package, version in found.items() if version is not None)


def version_of(package: str) -> str | None:
    """Return the version of a package that is installed; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def output(command: list[str]) -> str | None:
    """Return what a command prints, stripped; None when it is not there or fails."""
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, timeout=20, encoding="utf-8", errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
