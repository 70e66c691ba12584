"""Records are whole or absent, named by what determines them, and measured once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results import leases, records
from results.leases import Busy
from results.records import BadMetrics, Record, StoreError, run_id
from results.store import Store, write

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = {"measure": "cost", "version": 1, "model": {"system": "SHaRPose", "alpha": 0.4}}


def record(**identity: object) -> Record:
    return Record({**IDENTITY, **identity}, {"params": 94_116_000}, "table6a", "0.4", "paper-size", {"device": "a cpu"})


def test_the_run_id_is_of_the_content_alone():
    assert run_id(IDENTITY) == run_id(dict(reversed(IDENTITY.items())))
    assert run_id({**IDENTITY, "size": (256, 192)}) == run_id({**IDENTITY, "size": [256.0, 192]})
    assert run_id({**IDENTITY, "version": 2}) != run_id(IDENTITY)
    assert run_id({**IDENTITY, "flip": True}) != run_id({**IDENTITY, "flip": "True"})


def test_the_run_id_refuses_what_has_no_canonical_form():
    with pytest.raises(TypeError):
        run_id({**IDENTITY, "path": Path("x")})
    with pytest.raises(ValueError, match="JSON compliant"):
        run_id({**IDENTITY, "alpha": float("nan")})
    with pytest.raises(StoreError):
        run_id({"measure": "cost"})


def test_a_record_comes_back_as_it_was_written(tmp_path):
    store, written = Store(tmp_path), record()
    path = store.save(written)
    assert path == tmp_path / "local" / "cost" / f"{written.run_id}.json"
    assert store.find(IDENTITY) == written
    assert store.find({**IDENTITY, "version": 2}) is None
    assert [path.name for path in path.parent.iterdir()] == [path.name]


def test_local_comes_before_published(tmp_path):
    store = Store(tmp_path)
    store.save(record())
    store.publish(record().run_id)
    newer = Record(IDENTITY, {"params": 1}, "table3", "B", "paper-size")
    assert store.find(IDENTITY).metrics == record().metrics
    store.save(newer)
    assert store.find(IDENTITY) == newer
    assert [found.metrics for found in store.records()] == [{"params": 1}]
    (store.local / "cost" / f"{newer.run_id}.json").unlink()
    assert store.find(IDENTITY).published


def test_only_stored_run_ids_are_published(tmp_path):
    store = Store(tmp_path)
    for name in ("../../../etc/passwd", "*", "0123456789abcdef"):
        with pytest.raises(StoreError, match=r"run id|no record"):
            store.publish(name)


def test_every_truncation_and_every_flipped_bit_is_noticed(tmp_path):
    store = Store(tmp_path)
    path = store.save(record())
    whole = path.read_bytes()
    broken = [whole[:length] for length in range(len(whole))]
    broken += [bytes([*whole[:i], whole[i] ^ (1 << i % 8), *whole[i + 1 :]]) for i in range(len(whole))]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(StoreError) as caught:
            store.find(IDENTITY)
        assert str(path) in str(caught.value) and "delete it to measure again" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_published_record_is_restored_not_deleted(tmp_path):
    store = Store(tmp_path)
    store.save(record())
    path = store.publish(record().run_id)
    path.write_bytes(b"{}")
    (store.local / "cost" / path.name).unlink()
    with pytest.raises(StoreError, match="git checkout"):
        store.find(IDENTITY)


def test_a_record_under_another_name_is_refused(tmp_path):
    store = Store(tmp_path)
    path = store.save(record())
    other = path.with_name(f"{record(version=2).run_id}.json")
    path.rename(other)
    with pytest.raises(StoreError, match="belongs under another name"):
        store.find({**IDENTITY, "version": 2})


def test_a_sealed_file_that_is_no_record_is_refused(tmp_path):
    path = tmp_path / "cost" / "0123456789abcdef.json"
    path.parent.mkdir()
    for body in (b"{", b"[" * 5000, b"{\n" + b' "identity": 3', b'{"a": ' + b"9" * 5000, b"\xff\xfe"):
        seal = records.hashlib.sha256(body).hexdigest().encode()
        path.write_bytes(body + records.SEAL + seal + b'"\n}\n')
        with pytest.raises(StoreError, match="not a record"):
            records.read(path)


def test_a_write_that_fails_leaves_the_old_record(tmp_path, monkeypatch):
    store = Store(tmp_path)
    path = store.save(record())
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        store.save(Record(IDENTITY, {"params": 2}, "s", "r", "t"))
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_read_only_store_is_named(tmp_path):
    blocker = tmp_path / "local"
    blocker.write_text("a file where a folder should be")
    with pytest.raises(StoreError, match=str(tmp_path)):
        Store(tmp_path).save(record())


def test_a_thousand_records_are_read_quickly(tmp_path):
    store = Store(tmp_path)
    folder = tmp_path / "published" / "cost"
    folder.mkdir(parents=True)
    for number in range(1000):
        each = record(number=number)
        (folder / f"{each.run_id}.json").write_bytes(records.encode(each))
    times = []
    for _ in range(3):
        begun = time.process_time()
        assert len(store.records()) == 1000
        times.append(time.process_time() - begun)
    assert min(times) < 0.3


def test_a_lease_is_for_one(tmp_path):
    store, name = Store(tmp_path), record().run_id
    with store.lease(name) as mine:
        assert mine
        with store.lease(name) as again:
            assert not again
        assert store.records() == []
    with store.lease(name) as mine:
        assert mine
    assert list((tmp_path / "local" / "leases").glob("*.lease")) == []


def test_expired_leases_and_those_of_dead_processes_are_void(tmp_path):
    store, name = Store(tmp_path), record().run_id
    with store.lease(name, seconds=-1) as first, store.lease(name) as second:
        assert first and second
    program = f"""
import os
from pathlib import Path
from results.store import Store
lease = Store(Path({str(tmp_path)!r})).lease({name!r})
assert lease.__enter__()
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 9
    assert list((tmp_path / "local" / "leases").glob("*.lease"))
    with store.lease(name) as mine:
        assert mine


COUNTER = """
import sys, time
from pathlib import Path
from results.records import Record
from results.store import Store
root, log = Path(sys.argv[1]), Path(sys.argv[2])
store = Store(root)
for number in range(12):
    record = Record({"measure": "cost", "version": 1, "number": number}, {"n": number}, "s", "r", "t")
    with store.lease(record.run_id) as mine:
        if mine and store.find(record.identity) is None:
            with log.open("a") as file:
                file.write(f"{number}\\n")
            time.sleep(0.01)
            store.save(record)
"""


def test_processes_at_once_measure_each_cell_once(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", COUNTER, str(tmp_path / "store"), str(log)]
    workers = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [worker.wait(timeout=600) for worker in workers] == [0] * 4
    assert sorted(map(int, log.read_text().split())) == list(range(12))


def test_a_lease_is_renewed_while_its_holder_measures(tmp_path):
    store, name = Store(tmp_path), record().run_id
    with store.lease(name, seconds=0.3) as mine:
        assert mine
        for _ in range(8):
            time.sleep(0.1)
            with store.lease(name) as again:
                assert not again
    with store.lease(name) as mine:
        assert mine


HANG = """
import os, signal, sys
from pathlib import Path
from results.store import Store
lease = Store(Path(sys.argv[1])).lease(sys.argv[2], seconds=0.3)
assert lease.__enter__()
print("mine", flush=True)
sys.stdin.readline()
lease.__exit__(None, None, None)
print("given back", flush=True)
"""


def test_the_lease_of_a_hanging_process_expires_and_stays_with_who_took_it_over(tmp_path):
    store, name = Store(tmp_path), record().run_id
    command = [sys.executable, "-c", HANG, str(tmp_path), name]
    other = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "mine\n"
        time.sleep(0.5)
        with store.lease(name) as early:
            assert not early
        other.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        with store.lease(name) as mine:
            assert mine
            # the late one wakes up, renews what is no longer its own, and gives back nothing of ours
            other.send_signal(signal.SIGCONT)
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "given back\n"
            with store.lease(name) as third:
                assert not third
    finally:
        other.send_signal(signal.SIGCONT)
        other.kill()
        other.wait()


def test_a_turn_is_waited_for_only_so_long(tmp_path):
    store = Store(tmp_path)
    with (
        store.quiet(alone=True),
        pytest.raises(Busy, match="another process is measuring"),
        Store(tmp_path).quiet(alone=False, within_s=0.05),
    ):
        pytest.fail("two measured at once")
    with store.quiet(alone=False), Store(tmp_path).quiet(alone=False, within_s=0):
        pass


@pytest.mark.parametrize(
    ("metrics", "fault"),
    [
        ({"ap": float("nan")}, "ap is no finite number"),
        ({"ap": 0.5, "curve": {"x": [1, float("inf")]}}, "curve is no finite number"),
        ({"ap": "0.57"}, "ap = 0.57 must be a number from 0 to 1"),
        ({"ap": 57.3}, "ap = 57.3 must be a number from 0 to 1"),
        ({"ap_bootstrap": [0.5, None, 2]}, "ap_bootstrap = .* must be a number from 0 to 1"),
        ({"refine_rate": -0.1}, "refine_rate = -0.1 must be a number from 0 to 1"),
        ({"images_per_s": -3.0}, "images_per_s = -3.0 must be a number that is not below 0"),
        ({"macs_torch": "many"}, "macs_torch = many must be a number that is not below 0"),
        ({"params": True}, "params = True must be a number that is not below 0"),
    ],
)
def test_metrics_that_are_no_numbers_are_neither_stored_nor_read(tmp_path, metrics, fault):
    store = Store(tmp_path)
    bad = Record(IDENTITY, metrics, "table6a", "0.4", "nano")
    with pytest.raises(BadMetrics, match=f"table6a 0.4: cost: {fault}; nothing is stored"):
        store.save(bad)
    assert not store.local.exists()
    if fault.endswith("no finite number"):
        return
    # sealed by someone who did not look
    path = store.local / "cost" / f"{bad.run_id}.json"
    write(path, records.encode(bad))
    for read in (lambda: store.find(IDENTITY), store.records):
        with pytest.raises(StoreError, match=rf"{path}: table6a 0.4: {fault}; delete it to measure again"):
            read()


def test_what_could_not_be_measured_is_stored(tmp_path):
    metrics = {"ap": 0, "ap_m": None, "ap_bootstrap": [1, None], "joules_per_image": None, "note": "x", "value": -3}
    store, written = Store(tmp_path), Record(IDENTITY, metrics, "s", "r", "t")
    store.save(written)
    assert store.find(IDENTITY) == written


@pytest.mark.parametrize("published", [False, True])
def test_a_record_of_a_newer_version_asks_for_an_update(tmp_path, monkeypatch, published):
    store = Store(tmp_path)
    monkeypatch.setattr(records, "FORMAT", 2)
    path = store.save(record())
    if published:
        path = store.publish(record().run_id)
        (store.local / "cost" / path.name).unlink()
    sealed = path.read_bytes()
    monkeypatch.setattr(records, "FORMAT", 1)
    # also where a newer version seals otherwise
    for content in (sealed, sealed.replace(b'"sha256"', b'"blake3"')):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"a newer version wrote this record \(format 2\); update") as caught:
            store.find(IDENTITY)
        assert str(path) in str(caught.value) and "delete" not in str(caught.value)


def foreign_lease(store: Store, name: str, at: float, **changes: object) -> Path:
    """A lease of another host, renewed so many seconds from now."""
    path = store.local / "leases" / f"{name}.lease"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": "node7", "pid": 41, "started": "1", "seconds": 300.0, **changes}))
    os.utime(path, (time.time() + at,) * 2)
    return path


def test_a_lease_from_the_future_counts_from_now(tmp_path, monkeypatch):
    store, name = Store(tmp_path), record().run_id
    path = foreign_lease(store, name, 1e6)
    with store.lease(name) as mine:
        assert not mine
    assert abs(path.stat().st_mtime - time.time()) < 60
    assert store.holder(name) == f"process 41 on node7, {path}"
    # and ends then, where nobody renews it
    os.utime(path, (time.time() - leases.LEASE_S - 1,) * 2)
    with store.lease(name) as mine:
        assert mine
    assert store.holder(name) == ""


@pytest.mark.parametrize("seconds", [1e12, float("nan"), float("inf")])
def test_no_lease_lasts_longer_than_ours(tmp_path, seconds):
    store, name = Store(tmp_path), record().run_id
    foreign_lease(store, name, -leases.LEASE_S - 1, seconds=seconds)
    with store.lease(name) as mine:
        assert mine


@pytest.mark.parametrize("wrong_by", [-400.0, 400.0])
def test_clocks_that_differ_do_not_measure_twice(tmp_path, monkeypatch, wrong_by):
    store, name, right = Store(tmp_path), record().run_id, time.time
    monkeypatch.setattr(leases.socket, "gethostname", lambda: "node1")
    monkeypatch.setattr(leases.time, "time", lambda: right() + wrong_by)
    with store.lease(name, seconds=0.3) as mine:
        assert mine
        # renewed at least once
        time.sleep(0.2)
        monkeypatch.setattr(leases.time, "time", right)
        monkeypatch.setattr(leases.socket, "gethostname", lambda: "node2")
        with store.lease(name) as again:
            assert not again
