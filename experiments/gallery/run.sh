#!/usr/bin/env bash
# Maps of every method on six ImageNet photographs, as pictures in outputs/gallery. DIFFIG_SHARED_DATA names the folder of
# data and weights. Arguments go to gallery.py: --methods ig,gig --images 2 --size 224, and settings as steps=64.
source "$(dirname "$0")/../study.sh" || exit
needs_data imagenet_samples.zip and imagenet_mobilenet_v2.safetensors
python experiments/gallery/gallery.py outputs/gallery "$@"
