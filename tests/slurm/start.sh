#!/usr/bin/env bash
# A SLURM of one machine for tests: munged, slurmctld and slurmd, all in FOLDER, in the foreground of nobody.
# Needs Debian's slurm-wlm and munge, and root. Usage: start.sh FOLDER; afterwards `export SLURM_CONF=FOLDER/slurm.conf`.
set -euo pipefail
folder=$(realpath "$1")
here=$(hostname -s)
mkdir -p "$folder"/{state,spool}

# munge proves to the daemons who submits; its key must be its own
if ! pgrep -x munged > /dev/null; then
  [ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
  chown munge: /etc/munge/munge.key
  chmod 400 /etc/munge/munge.key
  mkdir -p /run/munge && chown munge: /run/munge && chmod 755 /run/munge
  runuser -u munge -- munged --syslog --pid-file=/run/munge/munged.pid
  cp /run/munge/munged.pid "$folder/munged.pid"
fi

cat > "$folder/slurm.conf" <<CONF
ClusterName=sharpose
SlurmctldHost=$here
SlurmUser=root
AuthType=auth/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
# containers have no cgroups to manage
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
MpiDefault=none
NodeName=$here NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=test Nodes=$here Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$folder/slurm.conf"
slurmctld
slurmd
for _ in $(seq 60); do
  sinfo --noheader --format=%T 2> /dev/null | grep -qx idle && exit 0
  sleep 1
done
echo "no idle node after a minute; see $folder/*.log" >&2
exit 1
