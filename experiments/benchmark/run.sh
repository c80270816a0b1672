#!/usr/bin/env bash
# The benchmark: every family of methods on many images, and localisation.
# Usage: run.sh cifar10|cifar10_resnet56|seeds|stability|photos|photos_squeezenet|coco [overrides of every evaluation...]
# DIFFIG_SHARED_DATA names the folder of data and weights. A part that was killed goes on when it is started again.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${DIFFIG_SHARED_DATA:?set it to the folder of data and weights}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
part=${1:?give a part: cifar10, cifar10_resnet56, seeds, stability, photos, photos_squeezenet or coco}
shift
out=outputs/benchmark/$part
weights() { echo "classifier.checkpoint=$DIFFIG_SHARED_DATA/$1.safetensors"; }
# What asks each image again is measured apart, on fewer images (stability).
suite=(metrics=suite '~metrics.metrics.sensitivity' '~metrics.metrics.emprt')
short=('~metrics.metrics.infidelity' '~metrics.metrics.road' '~metrics.metrics.diffid_signed' '~metrics.metrics.diffid_blur')
paths=diffig_field,coarse_to_fine,ig,gig,spi,blur_ig,spectral_ig,idgi
others=lrp,grad_cam,centre_gaussian,random
more=expected_gradients,agi,ig2,fullgrad,guided_backprop,gradient_x_input,sobel
report=()
case $part in
cifar10) run=(experiment=cifar10 limit=500 "${suite[@]}" "method=$paths,$others,$more") ;;
cifar10_resnet56)
    run=(experiment=cifar10 limit=500 classifier.depth=56 "$(weights cifar10_resnet56)" "${suite[@]}" "${short[@]}"
        method=diffig_field,coarse_to_fine,ig,gig,idgi,lrp,grad_cam,centre_gaussian)
    ;;
seeds) # three seeds of what draws at random, on the images of cifar10; read both folders together
    run=(experiment=cifar10 limit=500 seed=1,2 method=diffig_field,spi,random)
    report=("runs=[outputs/benchmark/cifar10,$out]")
    ;;
stability)
    run=(experiment=cifar10 limit=100 metrics=suite '~metrics.metrics.diffid_blur' '~metrics.metrics.infidelity'
        '~metrics.metrics.road' "method=$paths,$others")
    report=(headline=sensitivity_max)
    ;;
photos) run=(experiment=photos limit=50 "${suite[@]}" "method=$paths,$others,gradient_x_input") ;;
photos_squeezenet)
    run=(experiment=photos limit=50 classifier.name=squeezenet1_0 "$(weights imagenet_squeezenet1_0)" "${suite[@]}"
        "${short[@]}" method=diffig_field,coarse_to_fine,ig,gig,idgi,blur_ig,lrp,grad_cam,centre_gaussian,random)
    ;;
coco)
    run=(dataset=coco_instances "dataset.path=$DIFFIG_SHARED_DATA/coco_instances.zip" classifier=torchvision
        classifier.name=mobilenet_v2 "$(weights imagenet_mobilenet_v2)" image_size=160 metrics=localisation
        target=prediction only_correct=false limit=40 batch_size=8
        "method=$paths,$others,gradient_x_input,sobel,constant")
    report=(headline=relevance_mass)
    ;;
*)
    echo "part=$part is unknown; choose cifar10, cifar10_resnet56, seeds, stability, photos, photos_squeezenet or coco" >&2
    exit 2
    ;;
esac
diffig-evaluate -m "${run[@]}" steps=32 "hydra.sweep.dir=$out" "$@"
diffig-report "runs=$out" "output=$out/report" reference=ig ${report[@]+"${report[@]}"}
