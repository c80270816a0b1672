#!/usr/bin/env bash
# Trains the five parts of latent DiffIG: train.sh small|cifar10|paper [overrides of every training]. A part with a
# .done file is kept, what was interrupted goes on. Sizes: conf/scale. LATENT_FOLDER names where (outputs/latent/<scale> otherwise).
# With IMAGE_DIFFUSION=1 also a diffusion model of images, for ddpath, free_mcg and counterfactuals.
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-}" small cifar10 paper)
shift
case $scale in small) default=outputs/latent/digits ;; paper) default=outputs/latent/oxford_pet ;; *) default=outputs/latent/$scale ;; esac
folder=${LATENT_FOLDER:-$default}
mkdir -p "$folder"

train() { # name, module and its overrides
    local name=$1
    shift
    if [ -e "$folder/$name.done" ]; then return 0; fi
    say "$name"
    logged "$folder/$name.log" \
        diffig-train "scale=$scale" "latent.folder=$folder" "hydra.run.dir=$folder/$name" "$@" || return 1
    touch "$folder/$name.done"
}

# At the paper's scale a pretrained f8 autoencoder is used: latent.autoencoder=<diffusers folder>.
if [ "$scale" != paper ]; then train autoencoder module=autoencoder "$@"; fi
# Two trainings at a time on a processor, one on a GPU.
at_once=2
if [ "$scale" = paper ]; then at_once=1; fi
room() { while (($(jobs -rp | wc -l) >= at_once)); do wait -n; done; }

train path_model module=latent_diffusion "$@" &
room
train labels module=path_labels "$@"
# What differs between images is easy to learn and nothing that guidance can change: with CENTRED=1 two more networks
# learn the rest.
for name in faithfulness complexity ${CENTRED:+faithfulness_centred complexity_centred}; do
    case $name in *_centred) centre=true ;; *) centre=false ;; esac
    room
    train $name module=path_score module.quantity="${name%_centred}" module.centre=$centre "$@" &
done
if [ -n "${IMAGE_DIFFUSION:-}" ]; then
    room
    train image_diffusion module=image_diffusion "$@" &
fi
at_once=1
room
python experiments/latent/picture.py "$folder"
say "parts of latent DiffIG: $folder; how they were learnt: $folder/training.png"
