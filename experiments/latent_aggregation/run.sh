#!/usr/bin/env bash
# The operators that join ten candidates. Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_aggregation/$scale
CENTRED=1 experiments/latent/train.sh "$scale"
evaluate() { diffig-evaluate -m experiment=latent_aggregation "scale=$scale" "hydra.sweep.dir=$out/$1" "${@:2}"; }
evaluate unguided "$@"
evaluate guided learned=centred learned.lambda_faith=1000 "$@"
evaluate best_guided learned=centred learned.lambda_faith=1000 aggregation=best_guided "$@"
evaluate spi method=spi "$@"
diffig-report "runs=$out" "output=$out/report"
