#!/usr/bin/env bash
# Every method on 32 ImageNet photographs with MobileNetV2, then the report. DIFFIG_SHARED_DATA names the folder of data and weights.
source "$(dirname "$0")/../study.sh" || exit
needs_data imagenet_samples.zip and imagenet_mobilenet_v2.safetensors
out=outputs/photos
diffig-evaluate -m experiment=photos hydra.sweep.dir=$out/main \
    method=diffig_field,coarse_to_fine,ig,spi,gig,random
# Controls: the same prior without judging its samples, and the same judging of other samples.
diffig-evaluate -m experiment=photos hydra.sweep.dir=$out/unguided method=diffig_field guidance=none
diffig-evaluate -m experiment=photos hydra.sweep.dir=$out/spi_mixture \
    method=spi n_paths=4 steps=32 aggregation=best_mixture
diffig-report runs=$out output=$out/report reference=coarse_to_fine
