#!/usr/bin/env bash
# Trains the five parts of latent DiffIG: train.sh small|cifar10|paper [overrides of every training]. A part with a
# .done file is kept, what was interrupted goes on. LATENT_FOLDER names where (outputs/latent/<scale> otherwise).
# With IMAGE_DIFFUSION=1 also a diffusion model of images, for ddpath, free_mcg and counterfactuals.
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-}" small cifar10 paper)
shift
case $scale in
small)
    part_autoencoder=(dataset.batch_size=32 trainer.max_steps=500)
    part_diffusion=(dataset.batch_size=32 trainer.max_steps=1500)
    part_path_model=(module.learning_rate=1e-3 trainer.max_steps=1500)
    labelled=(latents.images=256 latents.val_images=32)
    part_labels=(module.count=2048 module.val_count=256)
    part_score=(module.learning_rate=5e-4 trainer.max_steps=600 trainer.val_check_interval=100)
    ;;
cifar10)
    part_autoencoder=(dataset.batch_size=16 "module.autoencoder.channels=[16,32]" trainer.max_steps=1500)
    part_diffusion=(dataset.batch_size=32 "module.diffusion.channels=[32,64,64]" trainer.max_steps=4000)
    part_path_model=(module.learning_rate=1e-3 trainer.max_steps=1500)
    labelled=(latents.images=256 latents.val_images=32)
    part_labels=(module.count=2048 module.val_count=256)
    part_score=(module.learning_rate=5e-4 trainer.max_steps=600 trainer.val_check_interval=100)
    ;;
paper)
    # The paper's: a pretrained f8 autoencoder (latent.autoencoder=<diffusers folder>), 1 M steps, batch 64, learning rate 2e-4.
    part_autoencoder=()
    # Of images too: a pretrained pipeline of pixels (latent.image_diffusion=<diffusers folder>), or long training.
    part_diffusion=("module.diffusion.channels=[128,128,256,256,512,512]" module.diffusion.layers=2 module.learning_rate=1e-4
        trainer.max_steps=500000 callbacks.ema.decay=0.9999)
    part_path_model=(module.prior.size=base trainer.max_steps=1000000 callbacks.ema.decay=0.9999 latents.num_workers=12)
    labelled=(latents.images=3000 latents.val_images=200 latents.num_workers=12)
    part_labels=(module.count=50000 module.val_count=2000)
    part_score=(module.size=base trainer.max_steps=1000000 callbacks.ema.decay=0.995)
    ;;
esac
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

if ((${#part_autoencoder[@]})); then
    train autoencoder module=autoencoder "${part_autoencoder[@]}" "$@"
fi
# Two trainings at a time on a processor, one on a GPU.
at_once=2
if [ "$scale" = paper ]; then at_once=1; fi
room() { while (($(jobs -rp | wc -l) >= at_once)); do wait -n; done; }

train path_model module=latent_diffusion "${part_path_model[@]}" "$@" &
room
train labels module=path_labels "${part_labels[@]}" "${labelled[@]}" "$@"
# What differs between images is easy to learn and nothing that guidance can change: with CENTRED=1 two more networks
# learn the rest.
for name in faithfulness complexity ${CENTRED:+faithfulness_centred complexity_centred}; do
    case $name in *_centred) centre=true ;; *) centre=false ;; esac
    room
    train $name module=path_score module.quantity="${name%_centred}" module.centre=$centre \
        "${part_score[@]}" "${labelled[@]}" "$@" &
done
if [ -n "${IMAGE_DIFFUSION:-}" ]; then
    room
    train image_diffusion module=image_diffusion "${part_diffusion[@]}" "$@" &
fi
at_once=1
room
python experiments/latent/picture.py "$folder"
say "parts of latent DiffIG: $folder; how they were learnt: $folder/training.png"
