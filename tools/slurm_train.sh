#!/usr/bin/env bash
# Train with slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of ttrb train]
# slurm.sh has the environment variables.
exec "$(dirname "$0")/slurm.sh" train "$@"
