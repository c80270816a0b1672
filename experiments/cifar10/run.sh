#!/usr/bin/env bash
# Every method on 256 CIFAR-10 images with ResNet-20, then the report. DIFFIG_SHARED_DATA names the folder of data and weights.
source "$(dirname "$0")/../study.sh" || exit
needs_data cifar10_test_lossless.npz and cifar10_resnet20.safetensors
out=outputs/cifar10
diffig-evaluate -m experiment=cifar10 hydra.sweep.dir=$out/main \
    method=diffig_field,coarse_to_fine,ig,spi,gig,gradient_x_input,random
# Controls: the same prior without judging its samples, and the same judging of other samples.
diffig-evaluate -m experiment=cifar10 hydra.sweep.dir=$out/unguided method=diffig_field guidance=none
diffig-evaluate -m experiment=cifar10 hydra.sweep.dir=$out/spi_mixture \
    method=spi n_paths=4 steps=32 aggregation=best_mixture
diffig-report runs=$out output=$out/report reference=coarse_to_fine
