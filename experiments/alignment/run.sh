#!/usr/bin/env bash
# Back-signals against layer inputs, trained and random weights. DIFFIG_SHARED_DATA names the folder of data and weights.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${DIFFIG_SHARED_DATA:?set it to the folder with cifar10_resnet20.safetensors and imagenet_squeezenet1_0.safetensors}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python experiments/alignment/measure.py outputs/alignment
mkdir -p experiments/alignment/results
cp outputs/alignment/{alignment.csv,maps.csv,alignment.png} experiments/alignment/results/
