#!/usr/bin/env bash
# The benchmark on one pair of images and classifier. Usage: run.sh <pair> [overrides of every evaluation...]
# Pairs: cifar10_resnet20 cifar10_resnet56 photos_mobilenet photos_squeezenet mnist_vit digits_cnn, and coco (localisation).
# DIFFIG_SHARED_DATA names the folder of data and weights; SEEDS=1,2 draws DiffIG's samples again.
# A part that was killed goes on when it is started again.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${DIFFIG_SHARED_DATA:?set it to the folder of data and weights}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
data=$DIFFIG_SHARED_DATA
pair=${1:?give a pair: cifar10_resnet20, cifar10_resnet56, photos_mobilenet, photos_squeezenet, mnist_vit, digits_cnn or coco}
shift
overrides=("$@")
out=outputs/benchmark/$pair
wide=false relevance=lrp
case $pair in
cifar10_resnet20)
    images=(experiment=cifar10 limit=200 batch_size=50)
    wide=true # every path method, published and with a credit
    ;;
cifar10_resnet56)
    images=(experiment=cifar10 limit=100 batch_size=50 classifier.depth=56
        "classifier.checkpoint=$data/cifar10_resnet56.safetensors")
    ;;
photos_mobilenet) images=(experiment=photos skip=100 limit=null batch_size=8) ;;
photos_squeezenet)
    images=(experiment=photos skip=100 limit=null batch_size=8 classifier.name=squeezenet1_0
        "classifier.checkpoint=$data/imagenet_squeezenet1_0.safetensors")
    ;;
mnist_vit)
    images=(dataset=mnist "dataset.path=$data" dataset.test_images=mnist_t10k-images-idx3-ubyte
        dataset.test_labels=mnist_t10k-labels-idx1-ubyte classifier=mnist_vit
        "classifier.checkpoint=$data/mnist_vit.safetensors" limit=200 batch_size=50)
    relevance="" # LRP has no rule for attention
    ;;
digits_cnn) images=(dataset=digits classifier=small_cnn limit=200 batch_size=50) ;;
coco)
    images=(dataset=coco_instances "dataset.path=$data/coco_instances.zip" classifier=torchvision
        classifier.name=mobilenet_v2 "classifier.checkpoint=$data/imagenet_mobilenet_v2.safetensors" image_size=160
        target=prediction only_correct=false limit=40 batch_size=8)
    ;;
*)
    echo "pair=$pair is unknown; choose cifar10_resnet20, cifar10_resnet56, photos_mobilenet, photos_squeezenet, mnist_vit, digits_cnn or coco" >&2
    exit 2
    ;;
esac
# What asks each image again (sensitivity, emprt), and what is not in the table.
suite=(metrics=suite 'metrics.metrics.diffid_blur.readouts=[hard,soft_diff]')
for metric in sensitivity emprt localisation infidelity diffid_signed diffid_signed_rank_blur diffid_bounds; do
    suite+=("~metrics.metrics.$metric")
done
headline=diffid
if [ "$pair" = coco ]; then suite=(metrics=localisation) headline=relevance_mass; fi

evaluate() { # evaluate <name> <words...>
    diffig-evaluate -m "${images[@]}" "${suite[@]}" steps=32 "hydra.sweep.dir=$out/$1" "${@:2}" ${overrides[@]+"${overrides[@]}"}
}
widths="footprint=[0,0.01,0.02,0.03,0.045,0.06,0.08,0.1]" # what DiffIG chooses among, for everybody else
agreeing=(objective=logit credit=agreeing credit.p=2 "$widths")
proportional=(objective=logit credit=proportional credit.p=2 "$widths")

evaluate default preset=default
evaluate fast preset=fast steps=16
evaluate others "method=${relevance:+$relevance,}grad_cam,centre_gaussian,random"
evaluate credited_schedule method=coarse_to_fine "${agreeing[@]}"
evaluate credited_straight method=ig,gig "${proportional[@]}"
evaluate published method=ig,gig,idgi,coarse_to_fine
if [ -n "$relevance" ]; then evaluate relevance_widths "method=$relevance" "$widths"; fi
if [ -n "${SEEDS:-}" ]; then evaluate seeds preset=default "seed=$SEEDS"; fi
if $wide; then
    evaluate credited_bands method=blur_ig,spectral_ig "${agreeing[@]}"
    evaluate credited_walks method=spi n_paths=4 steps=8 aggregation=consensus "${proportional[@]}"
    evaluate published_more method=spi,blur_ig,spectral_ig,split_ig
    evaluate others_more method=fullgrad,guided_backprop,gradient_x_input,sobel
fi
diffig-report "runs=$out" "output=$out/report" reference=ig "headline=$headline"
