#!/usr/bin/env bash
# Where the straight line spends its attribution. Usage: run.sh [small|cifar10]... (cifar10 needs DIFFIG_SHARED_DATA)
source "$(dirname "$0")/../study.sh" || exit
out=outputs/saturation
[ $# -gt 0 ] || set -- small cifar10
for scale in "$@"; do
    python experiments/saturation/measure.py "$scale" "$out/$scale"
done
python experiments/saturation/picture.py "$out"
