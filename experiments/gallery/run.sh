#!/usr/bin/env bash
# Maps of every method on six ImageNet photographs, as pictures in outputs/gallery. DIFFIG_SHARED_DATA names the folder of
# data and weights. Arguments go to gallery.py: --methods ig,gig --images 2 --size 224, and settings as steps=64.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${DIFFIG_SHARED_DATA:?set it to the folder with imagenet_samples.zip and imagenet_mobilenet_v2.safetensors}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python experiments/gallery/gallery.py outputs/gallery "$@"
