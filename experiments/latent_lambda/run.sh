#!/usr/bin/env bash
# The strengths of learned guidance: a heat-map. Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_lambda/$scale
CENTRED=1 experiments/latent/train.sh "$scale"
evaluate() { diffig-evaluate -m experiment=latent_lambda "scale=$scale" "hydra.sweep.dir=$out/$1" "${@:2}"; }
evaluate published learned=default "$@"
evaluate centred learned=centred "$@"
diffig-report "runs=$out" "output=$out/report"
