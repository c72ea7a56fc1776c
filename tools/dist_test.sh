#!/usr/bin/env bash
# Evaluate on several GPUs: tools/dist_test.sh CONFIG [CHECKPOINT] GPUS [options of ttrb test]
# Object discovery has no checkpoint. Without GPUs it starts as many processes on the CPU.
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail

usage() {
    echo "usage: $0 CONFIG [CHECKPOINT] GPUS [options of ttrb test]" >&2
    exit 2
}
[ $# -ge 2 ] || usage
MODEL=("$1")
shift
if [[ ! $1 =~ ^[0-9]+$ ]]; then
    MODEL+=("$1")
    shift
fi
[[ ${1:-} =~ ^[0-9]+$ ]] || usage
GPUS=$1
shift

exec torchrun \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/test.py" "${MODEL[@]}" --launcher pytorch "$@"
