#!/usr/bin/env bash
# Seconds for each image, one image at a time, nothing else running. Usage: run.sh [small|cifar10|paper] [overrides...]
set -euo pipefail
cd "$(dirname "$0")/../.."
scale=${1:-small}
shift || true
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=outputs/latent_runtime/$scale
experiments/latent/train.sh "$scale"
diffig-evaluate -m experiment=latent_runtime "scale=$scale" "hydra.sweep.dir=$out/unguided" "$@"
diffig-evaluate -m experiment=latent_runtime "scale=$scale" "hydra.sweep.dir=$out/guided" method=diffig_latent \
    learned.lambda_faith=1000 "$@"
diffig-report "runs=$out" "output=$out/report"
