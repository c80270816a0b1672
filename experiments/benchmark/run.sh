#!/usr/bin/env bash
# The benchmark on one pair of images and classifier. Usage: run.sh <pair> [overrides of every evaluation...]
# Pairs: cifar10_resnet20 cifar10_resnet56 photos_mobilenet photos_squeezenet mnist_vit digits_cnn, and coco (localisation);
# what each is: conf/experiment/benchmark_<pair>.yaml. SEEDS=1,2 draws DiffIG's samples again.
# DIFFIG_SHARED_DATA names the folder of data and weights. A part that was killed goes on when it is started again.
source "$(dirname "$0")/../study.sh" || exit
pair=$(choice pair "${1:-}" cifar10_resnet20 cifar10_resnet56 photos_mobilenet photos_squeezenet mnist_vit digits_cnn coco)
shift
if [ "$pair" != digits_cnn ]; then needs_data the images and weights of the pair; fi
overrides=("$@")
out=outputs/benchmark/$pair

evaluate() { # evaluate <name> <words...>
    diffig-evaluate -m "experiment=benchmark_$pair" "hydra.sweep.dir=$out/$1" "${@:2}" ${overrides[@]+"${overrides[@]}"}
}
widths="footprint=[0,0.01,0.02,0.03,0.045,0.06,0.08,0.1]" # what DiffIG chooses among, for everybody else
agreeing=(objective=logit credit=agreeing credit.p=2 "$widths")
proportional=(objective=logit credit=proportional credit.p=2 "$widths")
relevance=lrp headline=diffid
if [ "$pair" = mnist_vit ]; then relevance=""; fi # LRP has no rule for attention
if [ "$pair" = coco ]; then headline=relevance_mass; fi

evaluate default preset=default
evaluate fast preset=fast
evaluate others "method=${relevance:+$relevance,}grad_cam,centre_gaussian,random"
evaluate credited_schedule method=coarse_to_fine "${agreeing[@]}"
evaluate credited_straight method=ig,gig "${proportional[@]}"
evaluate published method=ig,gig,idgi,coarse_to_fine
if [ -n "$relevance" ]; then evaluate relevance_widths "method=$relevance" "$widths"; fi
if [ -n "${SEEDS:-}" ]; then evaluate seeds preset=default "seed=$SEEDS"; fi
if [ "$pair" = cifar10_resnet20 ]; then # every path method, published and with a credit
    evaluate credited_bands method=blur_ig,spectral_ig "${agreeing[@]}"
    evaluate credited_walks method=spi n_paths=4 steps=8 aggregation=consensus "${proportional[@]}"
    evaluate published_more method=spi,blur_ig,spectral_ig,split_ig
    evaluate others_more method=fullgrad,guided_backprop,gradient_x_input,sobel
fi
diffig-report "runs=$out" "output=$out/report" reference=ig "headline=$headline"
