"""Writers, readers and deleters of one store, some of them killed; counts what got lost or was read torn.

    python tests/survival/records.py --out FOLDER --records 10000 --writers 8 --seconds-per-kill 0.3
Every writer keeps a journal: `w N` once record N is saved, `d N` before it is deleted. What the journals say must be
there is there, whole; nobody ever reads half a record.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
from multiprocessing import get_context
from pathlib import Path

from results.records import Record, StoreError
from results.store import Store

DELETED_SHARE = 0.3


def record(number: int) -> Record:
    identity = {"measure": f"kind{number % 4}", "version": 1, "number": number}
    return Record(identity, {"value": number, "samples": [number] * (number % 200)}, "spec", str(number), "nano")


def write(root: Path, journal: Path, numbers: list[int], seed: int) -> None:
    store, rng = Store(root), random.Random(seed)
    done = set(numbers_of(journal)[0]) if journal.exists() else set()
    with journal.open("a") as file:
        for number in numbers:
            if number in done:
                continue
            path = store.save(record(number))
            note(file, f"w {number}")
            if rng.random() < DELETED_SHARE:
                note(file, f"d {number}")
                path.unlink()


def note(file: object, line: str) -> None:
    # one write call: a kill leaves the whole line or nothing of it
    os.write(file.fileno(), f"{line}\n".encode())  # type: ignore[attr-defined]


def numbers_of(journal: Path) -> tuple[list[int], list[int]]:
    rows = [line.split() for line in journal.read_text().splitlines()]
    return [int(n) for kind, n in rows if kind == "w"], [int(n) for kind, n in rows if kind == "d"]


def read(root: Path, total: int, log: Path, seed: int) -> None:
    """Look up records at random and now and then list them all, until killed."""
    store, rng, reads = Store(root), random.Random(seed), 0
    while True:
        try:
            for number in rng.sample(range(total), min(200, total)):
                found = store.find(record(number).identity)
                assert found is None or found.metrics["value"] == number
            reads += len(store.records(f"kind{rng.randrange(4)}"))
            log.write_text(str(reads + 200))
        except (StoreError, AssertionError) as error:
            log.with_suffix(".torn").write_text(repr(error))
            raise


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--kill-every-s", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    root, rng, context = given.out / "store", random.Random(given.seed), get_context("fork")
    given.out.mkdir(parents=True, exist_ok=True)
    shares = [list(range(start, given.records, given.writers)) for start in range(given.writers)]

    def start(index: int) -> object:
        process = context.Process(
            target=write, args=(root, given.out / f"{index}.journal", shares[index], given.seed + index)
        )
        process.start()
        return process

    writers = {index: start(index) for index in range(given.writers)}
    readers = [
        context.Process(target=read, args=(root, given.records, given.out / f"{index}.reads", index), daemon=True)
        for index in range(given.readers)
    ]
    for reader in readers:
        reader.start()
    kills = 0
    while any(writer.is_alive() for writer in writers.values()):  # type: ignore[attr-defined]
        time.sleep(given.kill_every_s)
        alive = [index for index, writer in writers.items() if writer.is_alive()]  # type: ignore[attr-defined]
        if alive and kills < 3 * given.writers:
            victim = rng.choice(alive)
            os.kill(writers[victim].pid, signal.SIGKILL)  # type: ignore[attr-defined]
            writers[victim].join()  # type: ignore[attr-defined]
            # what it had saved without a note is saved again
            writers[victim] = start(victim)
            kills += 1
    for reader in readers:
        reader.kill()
        reader.join()
    print(json.dumps({"kills": kills, **count(given.out, root, given.writers)}))


def count(folder: Path, root: Path, writers: int) -> dict[str, int]:
    store = Store(root)
    written, deleted = set(), set()
    for index in range(writers):
        some, gone = numbers_of(folder / f"{index}.journal")
        written |= set(some)
        deleted |= set(gone)
    there = {found.identity["number"] for found in store.records()}
    return {
        "written": len(written),
        "deleted": len(deleted),
        "lost": len(written - deleted - there),
        "torn": len(list(folder.glob("*.torn"))),
        "read": sum(int(path.read_text() or 0) for path in folder.glob("*.reads")),
    }


if __name__ == "__main__":
    main()
