#!/usr/bin/env bash
# Black, white and both baselines. Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
set -euo pipefail
cd "$(dirname "$0")/../.."
scale=${1:-small}
shift || true
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=outputs/latent_baselines/$scale
experiments/latent/train.sh "$scale"
evaluate() { diffig-evaluate -m experiment=latent_baselines "scale=$scale" "hydra.sweep.dir=$out/$1" "${@:2}"; }
evaluate all "$@"
diffig-report "runs=$out" "output=$out/report"
