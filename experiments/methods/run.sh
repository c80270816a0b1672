#!/usr/bin/env bash
# Every method on the same images, one table. Usage: run.sh [small|cifar10] [overrides of every evaluation...]
set -euo pipefail
cd "$(dirname "$0")/../.."
scale=${1:-small}
shift || true
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=outputs/methods/$scale
IMAGE_DIFFUSION=1 experiments/latent/train.sh "$scale"
# A method that fails leaves error.txt and takes no other with it; the report names it.
diffig-evaluate -m experiment=methods "scale=$scale" "hydra.sweep.dir=$out" "$@" || true
diffig-report "runs=$out" "output=$out/report" reference=ig
