#!/usr/bin/env bash
# Train with slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of ttrb train]
# GPUS (8) in all, GPUS_PER_NODE (8), CPUS_PER_TASK (5) and SRUN_ARGS as in mmsegmentation.
# GRES=gpu:a100:4 names the kind of GPU; an empty GRES= asks for none and runs on CPUs.
# Two jobs on one machine: set MASTER_PORT. If one process fails, srun ends the others.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [options of ttrb train]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
shift 2
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
if [ "$GPUS" -lt "$GPUS_PER_NODE" ]; then
    GPUS_PER_NODE=$GPUS
fi
GRES=${GRES-gpu:$GPUS_PER_NODE}

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
    python -u "$(dirname "$0")/train.py" "$@" --launcher slurm
