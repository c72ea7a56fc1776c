#!/usr/bin/env bash
# Run a command with slurm: tools/slurm.sh COMMAND PARTITION JOB_NAME [arguments of ttrb COMMAND]
# COMMAND is train, test, features, sweep, find-neurons or verify.
# GPUS (8) in all, GPUS_PER_NODE (8), CPUS_PER_TASK (5) and SRUN_ARGS as in mmsegmentation.
# GRES=gpu:a100:4 names the kind of GPU; an empty GRES= asks for none and runs on CPUs.
# Two jobs on one machine: set MASTER_PORT. If one process fails, srun ends the others.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: $0 COMMAND PARTITION JOB_NAME [arguments of ttrb COMMAND]" >&2
    exit 2
fi
COMMAND=$1
PARTITION=$2
JOB_NAME=$3
shift 3
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
if [ "$GPUS" -lt "$GPUS_PER_NODE" ]; then
    GPUS_PER_NODE=$GPUS
fi
GRES=${GRES-gpu:$GPUS_PER_NODE}
export PYTHONUNBUFFERED=1

# shellcheck disable=SC2086 # SRUN_ARGS holds several
exec srun \
    --partition="$PARTITION" \
    --job-name="$JOB_NAME" \
    ${GRES:+--gres="$GRES"} \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    ttrb "$COMMAND" "$@" --launcher slurm
