#!/usr/bin/env bash
# Evaluate with slurm: tools/slurm_test.sh PARTITION JOB_NAME CONFIG [CHECKPOINT] [options of ttrb test]
# slurm.sh has the environment variables.
exec "$(dirname "$0")/slurm.sh" test "$@"
