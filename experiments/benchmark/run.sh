#!/usr/bin/env bash
# The benchmark: path methods on many images, and localisation. Usage: run.sh cifar10|coco|photos [overrides of every evaluation...]
# DIFFIG_SHARED_DATA names the folder of data and weights.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${DIFFIG_SHARED_DATA:?set it to the folder of data and weights}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
part=${1:?give a part: cifar10, coco or photos}
shift
mobilenet=(classifier=torchvision classifier.name=mobilenet_v2
    "classifier.checkpoint=$DIFFIG_SHARED_DATA/imagenet_mobilenet_v2.safetensors" image_size=160)
paths=diffig_field,blur_ig,coarse_to_fine,ig,spectral_ig,gig,spi,expected_gradients,idgi,gradient_x_input,random
case $part in
cifar10) run=(experiment=cifar10 limit=500 steps=32 "method=$paths") ;;
coco)
    run=(dataset=coco_instances "dataset.path=$DIFFIG_SHARED_DATA/coco_instances.zip" "${mobilenet[@]}" metrics=localisation
        target=prediction only_correct=false steps=32 limit=40 batch_size=8
        method=diffig_field,ig,gig,spi,blur_ig,spectral_ig,coarse_to_fine,guided_backprop,grad_cam,gradient_x_input,centre_gaussian,sobel,constant,random)
    ;;
photos) run=(experiment=photos limit=50 steps=32 method=diffig_field,blur_ig,coarse_to_fine,ig,spectral_ig,gig,lrp,grad_cam,centre_gaussian,random) ;;
*)
    echo "part=$part is unknown; choose cifar10, coco or photos" >&2
    exit 2
    ;;
esac
out=outputs/benchmark/$part
diffig-evaluate -m "${run[@]}" "hydra.sweep.dir=$out" "$@"
headline=()
if [ "$part" = coco ]; then headline=(headline=relevance_mass); fi
diffig-report "runs=$out" "output=$out/report" reference=ig "${headline[@]}"
