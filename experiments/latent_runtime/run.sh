#!/usr/bin/env bash
# Seconds for each image, one image at a time, nothing else running. Usage: run.sh [small|cifar10|paper] [overrides...]
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_runtime/$scale
experiments/latent/train.sh "$scale"
diffig-evaluate -m experiment=latent_runtime "scale=$scale" "hydra.sweep.dir=$out/unguided" "$@"
diffig-evaluate -m experiment=latent_runtime "scale=$scale" "hydra.sweep.dir=$out/guided" method=diffig_latent \
    learned.lambda_faith=1000 "$@"
diffig-report "runs=$out" "output=$out/report"
