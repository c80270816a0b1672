#!/usr/bin/env bash
# What the benchmark's columns do not show, on 40 images of a pair: signed DiffID, infidelity, sensitivity, eMPRT, completeness.
# Usage: further.sh <pair> [overrides of every evaluation...], with the pairs of run.sh; sensitivity asks each image again.
# DIFFIG_SHARED_DATA names the folder of data and weights. A part that was killed goes on when it is started again.
source "$(dirname "$0")/../study.sh" || exit
pair=$(choice pair "${1:-}" cifar10_resnet20 cifar10_resnet56 photos_mobilenet photos_squeezenet mnist_vit digits_cnn)
shift
if [ "$pair" != digits_cnn ]; then needs_data the images and weights of the pair; fi
overrides=("$@")
out=outputs/benchmark/further_$pair

evaluate() { # evaluate <name> <words...>
    diffig-evaluate -m "experiment=benchmark_$pair" limit=40 metrics=suite "~metrics.metrics.localisation" \
        "hydra.sweep.dir=$out/$1" "${@:2}" ${overrides[@]+"${overrides[@]}"}
}
widths="footprint=[0,0.01,0.02,0.03,0.045,0.06,0.08,0.1]"
relevance=lrp
if [ "$pair" = mnist_vit ]; then relevance=""; fi # LRP has no rule for attention

evaluate default preset=default
evaluate others "method=${relevance:+$relevance,}grad_cam,random"
evaluate credited_schedule method=coarse_to_fine objective=logit credit=agreeing credit.p=2 "$widths"
evaluate published method=ig,gig,idgi,coarse_to_fine
if [ -n "$relevance" ]; then evaluate relevance_widths "method=$relevance" "$widths"; fi
evaluate fast preset=fast
diffig-report "runs=$out" "output=$out/report" reference=ig headline=diffid_pixel_signed
