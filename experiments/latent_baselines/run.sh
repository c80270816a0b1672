#!/usr/bin/env bash
# Black, white and both baselines. Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_baselines/$scale
experiments/latent/train.sh "$scale"
evaluate() { diffig-evaluate -m experiment=latent_baselines "scale=$scale" "hydra.sweep.dir=$out/$1" "${@:2}"; }
evaluate all "$@"
diffig-report "runs=$out" "output=$out/report"
