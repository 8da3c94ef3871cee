#!/bin/bash
# One study on four nodes under Slurm; the processes find each other and share the output folder.
#   sbatch examples/sweep_slurm.sh examples/invariance_curves.yaml /shared/results
# Stopped by the time limit it goes on where it was: submit it again.
#SBATCH --job-name=mgm
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
set -euo pipefail
srun mgm run "$1" -o "$2"
