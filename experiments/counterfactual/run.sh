#!/usr/bin/env bash
# A counterfactual of each of 32 digits, to its second most probable class. Usage: run.sh [overrides...]
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=outputs/counterfactual/digits
IMAGE_DIFFUSION=1 experiments/latent/train.sh small
diffig-explain -m task=counterfactual "image=$(seq -s, 0 31)" latent.folder=outputs/latent/digits \
    counterfactual.n_particles=32 counterfactual.n_steps=25 "hydra.sweep.dir=$out" "$@"
python experiments/counterfactual/table.py "$out"
