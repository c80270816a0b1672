#!/usr/bin/env bash
# A counterfactual of each of 32 digits, to its second most probable class. Usage: run.sh [overrides...]
source "$(dirname "$0")/../study.sh" || exit
out=outputs/counterfactual/digits
IMAGE_DIFFUSION=1 experiments/latent/train.sh small
diffig-explain -m task=counterfactual "image=$(seq -s, 0 31)" latent.folder=outputs/latent/digits \
    counterfactual.n_particles=32 counterfactual.n_steps=25 "hydra.sweep.dir=$out" "$@"
python experiments/counterfactual/table.py "$out"
