#!/usr/bin/env bash
# Every method on the same images, one table. Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/methods/$scale
IMAGE_DIFFUSION=1 experiments/latent/train.sh "$scale"
# A method that fails leaves error.txt and takes no other with it; the report names it.
diffig-evaluate -m experiment=methods "scale=$scale" "hydra.sweep.dir=$out" "$@" || true
diffig-report "runs=$out" "output=$out/report" reference=ig
