#!/bin/bash
# On Slurm: @COMMAND@
# Written by `percept cluster slurm`; change what you like.
#
#   bash SCRIPT       submits everything: an array of tasks for each stage, and the report when all of them have ended
#   squeue --me       shows what runs and what waits
#   @PLAN@
#                     shows how each task stands
#
# Start it in the folder in which you would start the command. That folder, the text and the program must be seen by all nodes.
# Submitted again, it goes on: what is finished is not trained again.
#
@RESOURCES@
# Two minutes before the time is up this script, not percept, gets USR1 (B: the batch script): percept saves, and the job goes back into the queue.
#SBATCH --signal=B:USR1@120
# So does a job that is preempted, or whose node fails.
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

percept=${PERCEPT:-percept}
what=@WHAT@
arguments=(@ARGUMENTS@)
# The same on every node: results repeat bit for bit with the same number of threads.
export PERCEPT_THREADS=@CPUS@

# Submits the tasks of a stage, which begin when those of the stage before have ended well.
after=
stage() {
  after=$(sbatch --parsable --job-name="@NAME@-$1" --array="$2" --output="@NAME@-$1-%a.log" ${after:+--dependency="afterok:$after"} \
    --kill-on-invalid-dep=yes "$0" run --stage "$1")
  after=${after%%;*}
  echo "$1: job $after"
}

# Submits the report.
report() {
  sbatch --job-name="@NAME@-report" --output="@NAME@-report.log" ${after:+--dependency="afterok:$after"} --kill-on-invalid-dep=yes "$0" assemble
}

# Runs percept. What Slurm sends ends `wait`, not percept, which is saving then: its end is waited for.
run() {
  local again=no status=0
  "$percept" "$what" "$@" "${arguments[@]}" &
  local percept_id=$!
  trap 'again=yes; kill -USR1 "$percept_id" || true' USR1
  # Preempted or cancelled: Slurm knows whether the job comes back.
  trap 'kill -TERM "$percept_id" || true' TERM
  while kill -0 "$percept_id" 2>/dev/null; do wait "$percept_id" || true; done
  wait "$percept_id" || status=$?
  if [ "$status" = 130 ] && [ "$again" = yes ]; then
    scontrol requeue "$SLURM_JOB_ID"
  fi
  return "$status"
}

if [ $# -gt 0 ]; then
  run "$@"
else
@SUBMISSIONS@
  report
fi
