#!/usr/bin/env bash
# Back-signals against layer inputs, trained and random weights. DIFFIG_SHARED_DATA names the folder of data and weights.
source "$(dirname "$0")/../study.sh" || exit
needs_data cifar10_resnet20.safetensors and imagenet_squeezenet1_0.safetensors
python experiments/alignment/measure.py outputs/alignment
mkdir -p experiments/alignment/results
cp outputs/alignment/{alignment.csv,maps.csv,alignment.png} experiments/alignment/results/
