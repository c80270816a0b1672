#!/usr/bin/env bash
# What each part brings: path x credit x objective x width, 80 settings at 32 gradients. Usage: ablation.sh [overrides...]
# DIFFIG_SHARED_DATA names the folder of data and weights. A part that was killed goes on when it is started again.
source "$(dirname "$0")/../study.sh" || exit
needs_data cifar10_test_lossless.npz and cifar10_resnet20.safetensors
out=outputs/credit/ablation
widths="footprint=[0.02],[0,0.01,0.02,0.03,0.045,0.06,0.08,0.1]" # one for all, or each image's own
cross() { # cross <name> <words of the path>
    for credit in credit=riemann credit=idgi "credit=proportional credit.p=2" "credit=agreeing credit.p=2"; do
        folder=$out/$1/${credit//[ =.]/_}
        # shellcheck disable=SC2086
        diffig-evaluate -m experiment=cifar10 skip=400 limit=40 batch_size=40 pictures=0 thumbnails=0 \
            objective=probability,logit $credit "$widths" "hydra.sweep.dir=$folder" "${@:2}" ${overrides[@]+"${overrides[@]}"}
    done
}
overrides=("$@")
cross straight method=ig
cross stick_breaking method=spi n_paths=4 steps=8 aggregation=consensus
cross guided method=gig
cross schedule method=coarse_to_fine
cross sampled_field method=diffig_field
python experiments/credit/ablation.py "$out" experiments/credit/results
