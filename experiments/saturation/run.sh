#!/usr/bin/env bash
# Where the straight line spends its attribution. Usage: run.sh [small|cifar10]... (cifar10 needs DIFFIG_SHARED_DATA)
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=outputs/saturation
[ $# -gt 0 ] || set -- small cifar10
for scale in "$@"; do
    python experiments/saturation/measure.py "$scale" "$out/$scale"
done
python experiments/saturation/picture.py "$out"
