"""Tries broken files in bulk on every reader; a case follows from its target and seed.

    python -m tests.fuzz.fuzz --cases 100000 --seed 0 --log fuzz.jsonl
A failure is shrunk, printed, and does not stop the other targets; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.targets import targets, try_cases, try_many

ROUND = 500
# by how long a case takes: YAML is parsed slowly, commands and whole checkpoints are several files
SHARES = {"specs": 0.2, "recipes": 0.3, "doctor": 0.05, "status": 0.05, "videos": 0.1}
# of every target some cases are hypothesis's own
BY_HYPOTHESIS = 200


def share(name: str) -> float:
    return 0.05 if name.startswith("training") else SHARES.get(name, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append")
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    every = targets()
    chosen = given.target or list(every)
    unit = given.cases / sum(share(name) for name in chosen)
    failed = []
    for name in chosen:
        began, rounds, outcomes = (
            time.process_time(),
            -(-int(unit * share(name) + 1) // ROUND),
            {"accepted": 0, "refused": 0},
        )
        row: dict[str, object] = {
            "target": name,
            "seeds": [given.seed, given.seed + rounds - 1],
            "cases_per_seed": ROUND,
        }
        with tempfile.TemporaryDirectory() as folder:
            for number in range(given.seed, given.seed + rounds):
                try:
                    if number == given.seed:
                        found = try_cases(every[name], Path(folder) / "case", BY_HYPOTHESIS, number)
                        outcomes = {key: outcomes[key] + found[key] for key in outcomes}
                    found = try_many(every[name], Path(folder) / "case", number, ROUND)
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    traceback.print_exc()
                    failed.append(name)
                    row |= {"failed_at_seed": number, "error": repr(error)[:300]}
                    break
                outcomes = {key: outcomes[key] + found[key] for key in outcomes}
        row |= {**outcomes, "cpu_s": round(time.process_time() - began, 1)}
        row["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(row), flush=True)
        if given.log:
            with given.log.open("a") as log:
                log.write(json.dumps(row) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
