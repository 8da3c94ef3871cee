#!/bin/bash
# One study on a Ray cluster that is up; every node sees the images, the checkpoints and the output.
#   examples/sweep_ray.sh http://head:8265 /shared/study.yaml /shared/results
# On a cluster without GPUs: MGM_GPUS=0 examples/sweep_ray.sh ...
# The driver runs on the head node; a node that is lost costs only what it was doing.
set -euo pipefail
ray job submit --address "$1" -- \
  mgm run "$2" -o "$3" --executor ray --address auto --cpus 4 --gpus "${MGM_GPUS:-1}"
