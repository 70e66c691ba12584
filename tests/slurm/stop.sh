#!/usr/bin/env bash
# Ends what start.sh started, by the process numbers it left in FOLDER.
set -uo pipefail
for name in slurmd slurmctld munged; do
  if [ -s "$1/$name.pid" ]; then
    kill "$(cat "$1/$name.pid")" || true
  fi
done
