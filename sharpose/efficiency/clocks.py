"""What the machine itself says of its clocks while something is timed: throttling, temperatures, stolen time.

Linux tells most of it under /sys and /proc, NVIDIA's driver the rest; what cannot be read is left out.
"""

from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SYSTEM, PROC_STAT = Path("/sys"), Path("/proc/stat")
STOLEN = 0.02
"""Above this share of time taken by other guests of the same host, a measurement counts as disturbed."""
HOTTER = 8.0
"""Degrees above the beginning at which the next group waits for the machine to cool down."""
GPU_FIELDS = {
    "gpu_mhz": "clocks.sm",
    "gpu_mhz_at_most": "clocks.max.sm",
    "gpu_celsius": "temperature.gpu",
    "gpu_slowed": "clocks_event_reasons.active",
}
# bits of NVML's reasons that are no disturbance: idle, and clocks that an application or user set
HARMLESS = 0x1 | 0x2 | 0x10 | 0x100


def read_clocks(device: str = "cpu") -> dict[str, Any]:
    """Read governor, mean and highest clocks in MHz, temperatures in °C, and counters of throttling and of time."""
    cpus = SYSTEM / "devices/system/cpu"
    now, most = numbers(cpus, "cpu*/cpufreq/scaling_cur_freq"), numbers(cpus, "cpu*/cpufreq/cpuinfo_max_freq")
    throttled = numbers(cpus, "cpu*/thermal_throttle/*_throttle_count")
    heat = numbers(SYSTEM / "class/thermal", "thermal_zone*/temp")
    governors = {text for path in cpus.glob("cpu*/cpufreq/scaling_governor") if (text := read(path))}
    found: dict[str, Any] = {
        "governor": "/".join(sorted(governors)) or None,
        "mhz": sum(now) / len(now) / 1e3 if now else None,
        "mhz_at_most": max(most) / 1e3 if most else None,
        "celsius": max(heat) / 1e3 if heat else None,
        "throttle_events": sum(throttled) if throttled else None,
        **cpu_times(),
        **(gpu_clocks() if device.startswith("cuda") else {}),
    }
    return {name: value for name, value in found.items() if value is not None}


def read(path: Path) -> str | None:
    """Return a file's text without blanks around it; None where it cannot be read, as on most machines."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def numbers(folder: Path, pattern: str) -> list[float]:
    """Return the numbers in files of one line each; those that cannot be read are left out."""
    texts = [read(path) for path in sorted(folder.glob(pattern))]
    return [float(text) for text in texts if text and text.lstrip("-").isdigit()]


def cpu_times() -> dict[str, float]:
    """Return ticks since the machine started: in all, and those that other guests of the host were given."""
    fields = (read(PROC_STAT) or "").partition("\n")[0].split()[1:9]
    if len(fields) < 8:
        return {}
    return {"ticks": float(sum(map(int, fields))), "stolen_ticks": float(fields[7])}


def gpu_clocks() -> dict[str, Any]:
    """Return clocks and temperature of the first GPU, and NVML's reasons for lower clocks, as a number of bits."""
    command = ["nvidia-smi", f"--query-gpu={','.join(GPU_FIELDS.values())}", "--format=csv,noheader,nounits"]
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    values = next(csv.reader(out.splitlines(), skipinitialspace=True), [])
    found: dict[str, Any] = {}
    for name, text in zip(GPU_FIELDS, values, strict=False):
        try:
            found[name] = int(text, 0)
        except ValueError:
            continue
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of the clocks: the state before and after, and whether it was slowed meanwhile.

    `throttled`: a counter of throttling moved, the driver gave a reason for lower clocks, or other guests took more
    than STOLEN of the time; None where nothing of it can be read.
    """
    state = {
        f"{name}_{when}": value
        for when, seen in (("before", before), ("after", after))
        for name, value in seen.items()
        if name not in ("ticks", "stolen_ticks", "throttle_events", "governor", "mhz_at_most", "gpu_mhz_at_most")
    }
    fixed = {name: after[name] for name in ("governor", "mhz_at_most", "gpu_mhz_at_most") if name in after}
    signs: dict[str, bool] = {}
    if "throttle_events" in before and "throttle_events" in after:
        state["throttle_events"] = after["throttle_events"] - before["throttle_events"]
        signs["throttle_events"] = state["throttle_events"] > 0
    if "ticks" in before and "ticks" in after:
        passed = after["ticks"] - before["ticks"]
        state["stolen_share"] = (after["stolen_ticks"] - before["stolen_ticks"]) / passed if passed > 0 else 0.0
        signs["stolen"] = state["stolen_share"] > STOLEN
    if "gpu_slowed" in after:
        signs["gpu"] = bool(after["gpu_slowed"] & ~HARMLESS)
    return {"clocks": {**fixed, **state}, "throttled": any(signs.values()) if signs else None}


def cool_down(
    cool: Mapping[str, Any],
    device: str = "cpu",
    at_most_s: float = 60.0,
    look: Callable[[str], Mapping[str, Any]] = read_clocks,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until the machine is about as cool as in `cool`; returns the seconds waited, 0 where no temperature is."""
    waited = 0.0
    names = [name for name in ("celsius", "gpu_celsius") if name in cool]
    while names and waited < at_most_s:
        now = look(device)
        if all(now.get(name, 0.0) <= cool[name] + HOTTER for name in names):
            break
        sleep(2.0)
        waited += 2.0
    return waited
