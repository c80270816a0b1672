#!/usr/bin/env bash
# The strengths of learned guidance: a heat-map. Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
set -euo pipefail
cd "$(dirname "$0")/../.."
scale=${1:-small}
shift || true
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=outputs/latent_lambda/$scale
CENTRED=1 experiments/latent/train.sh "$scale"
evaluate() { diffig-evaluate -m experiment=latent_lambda "scale=$scale" "hydra.sweep.dir=$out/$1" "${@:2}"; }
evaluate published learned=default "$@"
evaluate centred learned=centred "$@"
diffig-report "runs=$out" "output=$out/report"
