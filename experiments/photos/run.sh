#!/usr/bin/env bash
# Every method on 32 ImageNet photographs with MobileNetV2, then the report. DIFFIG_SHARED_DATA names the folder of data and weights.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${DIFFIG_SHARED_DATA:?set it to the folder with imagenet_samples.zip and imagenet_mobilenet_v2.safetensors}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=outputs/photos
diffig-evaluate -m experiment=photos hydra.sweep.dir=$out/main \
    method=diffig_field,coarse_to_fine,ig,spi,gig,random
# Controls: the same prior without judging its samples, and the same judging of other samples.
diffig-evaluate -m experiment=photos hydra.sweep.dir=$out/unguided method=diffig_field guidance=none
diffig-evaluate -m experiment=photos hydra.sweep.dir=$out/spi_mixture \
    method=spi n_paths=4 steps=32 aggregation=best_mixture
diffig-report runs=$out output=$out/report reference=coarse_to_fine
