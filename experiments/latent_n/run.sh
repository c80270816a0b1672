#!/usr/bin/env bash
# How many candidate paths. Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_n/$scale
CENTRED=1 experiments/latent/train.sh "$scale"
evaluate() { diffig-evaluate -m experiment=latent_n "scale=$scale" "hydra.sweep.dir=$out/$1" "${@:2}"; }
evaluate unguided "$@"
evaluate guided learned=centred learned.lambda_faith=1000 "$@"
evaluate spi method=spi "$@"
diffig-report "runs=$out" "output=$out/report"
