#!/bin/bash
# One study on four nodes under Slurm; the processes find each other and share the output folder.
#   examples/sweep_slurm.sh examples/invariance_curves.yaml /shared/results
# On a cluster without GPUs: MGM_GPUS=0 examples/sweep_slurm.sh ...
# It submits itself, as GPUs must not be asked for where there are none.
# Stopped by the time limit it goes on where it was: submit it again.
set -euo pipefail
if [ -z "${SLURM_JOB_ID:-}" ]; then
  job=(--job-name=mgm --nodes=4 --ntasks-per-node=1 --cpus-per-task=8 --time=12:00:00)
  [ "${MGM_GPUS:-1}" = 0 ] || job+=(--gpus-per-task="${MGM_GPUS:-1}")
  exec sbatch "${job[@]}" "$0" "$@"
fi
srun mgm run "$1" -o "$2"
