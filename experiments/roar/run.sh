#!/usr/bin/env bash
# Remove and retrain; goes on where it was killed. Usage: run.sh [small|cifar10] [options of measure.py] (cifar10 needs DIFFIG_SHARED_DATA)
source "$(dirname "$0")/../study.sh" || exit
scale=${1:-small}
shift || true
out=outputs/roar/$scale
python experiments/roar/measure.py "$scale" "$out" "$@"
python experiments/roar/table.py "$scale" "$out"
