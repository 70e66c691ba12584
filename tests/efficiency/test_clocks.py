"""What the machine says of its clocks: read where it is told, left out elsewhere, and what counts as slowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sharpose.efficiency import clocks, energy
from sharpose.efficiency.clocks import changes, cool_down, read_clocks


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two cores of a machine that tells everything."""
    for core, (mhz, events) in enumerate([(2_000_000, 3), (3_000_000, 4)]):
        cpu = tmp_path / "devices/system/cpu" / f"cpu{core}"
        write(cpu / "cpufreq/scaling_cur_freq", str(mhz))
        write(cpu / "cpufreq/cpuinfo_max_freq", "3500000")
        write(cpu / "cpufreq/scaling_governor", "performance")
        write(cpu / "thermal_throttle/core_throttle_count", str(events))
    write(tmp_path / "class/thermal/thermal_zone0/temp", "51000")
    write(tmp_path / "stat", "cpu  100 0 50 800 10 0 0 40 0 0\ncpu0 1 1")
    monkeypatch.setattr(clocks, "SYSTEM", tmp_path)
    monkeypatch.setattr(clocks, "PROC_STAT", tmp_path / "stat")
    return tmp_path


def test_all_that_is_told_is_read(machine: Path) -> None:
    assert read_clocks() == {
        "governor": "performance", "mhz": 2500.0, "mhz_at_most": 3500.0, "celsius": 51.0, "throttle_events": 7.0,
        "ticks": 1000.0, "stolen_ticks": 40.0,
    }  # fmt: skip


def test_what_nobody_tells_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "SYSTEM", tmp_path)
    monkeypatch.setattr(clocks, "PROC_STAT", tmp_path / "stat")
    assert read_clocks() == {} and changes({}, {}) == {"clocks": {}, "throttled": None}


def test_a_record_says_whether_the_machine_was_slowed(machine: Path) -> None:
    before = read_clocks()
    write(machine / "stat", "cpu  190 0 50 800 10 0 0 50 0 0")
    calm = changes(before, read_clocks())
    assert calm["throttled"] is True and calm["clocks"]["stolen_share"] == pytest.approx(0.1)
    write(machine / "stat", "cpu  1090 0 50 800 10 0 0 50 0 0")
    calm = changes(before, read_clocks())
    assert calm["throttled"] is False and calm["clocks"]["stolen_share"] == pytest.approx(0.01)
    assert calm["clocks"]["governor"] == "performance" and calm["clocks"]["mhz_before"] == 2500.0
    write(machine / "devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "9")
    hot = changes(before, read_clocks())
    assert hot["throttled"] is True and hot["clocks"]["throttle_events"] == 5


@pytest.mark.parametrize(("reasons", "slowed"), [("0x0", False), ("0x1", False), ("0x4", True), ("0x61", True)])
def test_a_gpu_gives_its_reasons(reasons: str, slowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Said:
        stdout = f"1410, 1980, 55, {reasons}\n0, 0, 0, 0x0\n"

    monkeypatch.setattr(clocks.subprocess, "run", lambda *command, **how: Said())
    seen = clocks.gpu_clocks()
    assert seen == {"gpu_mhz": 1410, "gpu_mhz_at_most": 1980, "gpu_celsius": 55, "gpu_slowed": int(reasons, 0)}
    assert changes(seen, seen)["throttled"] is slowed


def test_the_next_group_waits_until_the_machine_has_cooled_down() -> None:
    heat, slept = iter([75.0, 66.0, 57.0]), list[float]()

    def look(device: str) -> dict[str, Any]:
        return {"celsius": next(heat)}

    assert cool_down({"celsius": 50.0}, look=look, sleep=slept.append) == 4.0 and slept == [2.0, 2.0]
    assert cool_down({}, look=look, sleep=slept.append) == 0.0
    assert cool_down({"celsius": 50.0}, at_most_s=6.0, look=lambda device: {"celsius": 90.0}, sleep=slept.append) == 6.0


def test_a_package_counter_begins_again_at_its_end(tmp_path: Path) -> None:
    for name, joules in (("intel-rapl:0", 900), ("intel-rapl:1", 100), ("intel-rapl:0:0", 5)):
        write(tmp_path / name / "max_energy_range_uj", "1000000000")
        write(tmp_path / name / "energy_uj", str(joules * 1_000_000))
    counter = energy.open_rapl(tmp_path)
    assert counter is not None and counter() == 0.0
    write(tmp_path / "intel-rapl:0" / "energy_uj", "50000000")
    write(tmp_path / "intel-rapl:1" / "energy_uj", "130000000")
    # 150 J over the range's end and 30 J, the part of a package not counted twice
    assert counter() == pytest.approx(180.0) and counter() == pytest.approx(180.0)
    assert energy.open_rapl(tmp_path / "none") is None
