#!/usr/bin/env bash
# A comparison as arrays of Slurm, with a task that is sent away and comes back: bash benches/slurm.sh
#
# Sets up Slurm for one node in a temporary folder, submits what `percept cluster slurm` writes, stops a task as Slurm does before its time is up,
# and holds the assembled report to that of the plain command. Takes some minutes; nothing is left behind.
#
# Needs slurmctld, slurmd and munged (Debian: apt-get install slurm-wlm munge), python3, and the rights of root, as Slurm's daemons do.
#
#   PERCEPT=target/release/percept     the program
set -euo pipefail
cd "$(dirname "$0")/.."

percept=$(realpath "${PERCEPT:-target/release/percept}")
for tool in munged slurmctld slurmd sbatch python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install slurm-wlm munge python3" >&2; exit 3; }
done
[ -x "$percept" ] || { echo "$percept is missing: cargo build --release, or PERCEPT=..." >&2; exit 3; }

root=$(mktemp -d)
# The daemons that were started here, and no others.
finish() {
  scancel --user="$(id -un)" 2>/dev/null || true
  for daemon in slurmd slurmctld munged; do
    if [ -s "$root/$daemon.pid" ]; then kill "$(cat "$root/$daemon.pid")" 2>/dev/null || true; fi
  done
  sleep 1
  rm -rf "$root"
}
trap finish EXIT

mkdir -m 700 "$root/munge"
mkdir "$root/state" "$root/spool" "$root/work"
head -c 1024 /dev/urandom > "$root/munge/key"
chmod 400 "$root/munge/key"
munged --force --key-file="$root/munge/key" --socket="$root/munge/socket" --seed-file="$root/munge/seed" --log-file="$root/munge/log" --pid-file="$root/munged.pid"
export SLURM_CONF="$root/slurm.conf"
cat > "$SLURM_CONF" <<CONF
ClusterName=bench
SlurmctldHost=$(hostname -s)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=$(id -un)
# A job that is put back into the queue may begin again after a second, not after two minutes.
AuthInfo=socket=$root/munge/socket,cred_expire=1
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool
SlurmctldPidFile=$root/slurmctld.pid
SlurmdPidFile=$root/slurmd.pid
SlurmctldLogFile=$root/slurmctld.log
SlurmdLogFile=$root/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=node NodeHostname=$(hostname -s) CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
CONF
slurmctld
slurmd -N node
until sinfo --noheader --format=%t | grep -q idle; do sleep 1; done

cat docs/*.md > "$root/work/text.txt"
cd "$root/work"
export XDG_CACHE_HOME="$root/cache"
cat > two.toml <<'SPEC'
models = ["llp", "transformer"]
budget = "200k tokens"
points = 4
sweep = { lr = 2, fraction = 0.1 }
finalists = { models = 1, seeds = [2] }

[base]
model = { dim = 64, depth = 2, heads = 2, context = 64, segment = 16 }
train = { batch = 8, device = "cpu" }
SPEC

show() { printf '\n$ %s\n' "$*"; "$@"; }
waiting() { squeue --noheader --array --name="$1" --states="$2" --format=%i; }
export PERCEPT="$percept"
percept() { "$percept" "$@"; }

printf '$ percept cluster slurm --cpus 1 --time 10:00 compare two.toml --data text.txt > two.sh\n'
percept cluster slurm --cpus 1 --time 10:00 compare two.toml --data text.txt > two.sh
show bash two.sh
until task=$(waiting two-runs RUNNING | head -n 1); [ -n "$task" ]; do sleep 1; done
number=${task#*_}
until grep -q validation "two-runs-$number.log" 2>/dev/null; do sleep 1; done

echo
echo "# what Slurm does when a task's time is nearly up"
show scancel --batch --signal=USR1 "$task"
until [ -n "$(waiting two-runs PENDING)" ]; do sleep 0.2; done
show squeue --array --format='%8i %12j %9T %R'
show percept compare plan two.toml --data text.txt
while [ -n "$(squeue --noheader)" ]; do sleep 1; done
show cat "two-runs-$number.log"
show head -n 7 two-report.log

printf '\n$ percept compare two.toml --data text.txt --out plain\n'
PERCEPT_THREADS=1 percept compare two.toml --data text.txt --out plain --quiet > /dev/null
python3 - <<'PYTHON'
import json

def timeless(value):
    """A report without what the clock and the memory say."""
    times = {"timing", "seconds", "tokens_per_second", "targets_per_second", "measured_peak_memory_bytes"}
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key not in times}
    return [timeless(inner) for inner in value if not is_of_seconds(inner)] if isinstance(value, list) else value

def is_of_seconds(value):
    return isinstance(value, dict) and value.get("axis") == "seconds"

array, plain = (json.load(open(f"{folder}/report.json")) for folder in ("comparisons/two", "plain"))
assert array["state"] == "finished" and len(array["models"]) == 2
assert timeless(array) == timeless(plain), "the reports differ"
print("the same report, but for times and memory, as by the tasks")
PYTHON
