#!/usr/bin/env bash
# Other autoencoders under the same method. Usage: run.sh [small|cifar10] [overrides...], or for scale=paper
#   run.sh paper sd=<folder of an f8 VAE> kandinsky=<folder> ...
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_vae/$scale
case $scale in
paper)
    for pair in "$@"; do # name=folder
        LATENT_FOLDER=outputs/latent_vae/parts/${pair%%=*} experiments/latent/train.sh paper "latent.autoencoder=${pair#*=}"
        diffig-evaluate -m experiment=latent_vae scale=paper "latent.folder=outputs/latent_vae/parts/${pair%%=*}" \
            "latent.autoencoder=${pair#*=}" "hydra.sweep.dir=$out/${pair%%=*}" latent.name="${pair%%=*}" n_paths=1,10
    done
    ;;
*)
    for latent_channels in 2 4 8; do
        folder=outputs/latent_vae/parts/$scale-$latent_channels
        diffig-train module=autoencoder "scale=$scale" dataset.batch_size=32 trainer.max_steps=500 \
            module.autoencoder.latent_channels=$latent_channels "latent.folder=$folder" "hydra.run.dir=$folder/autoencoder"
        diffig-train module=latent_diffusion "scale=$scale" module.learning_rate=1e-3 trainer.max_steps=1500 \
            "latent.folder=$folder" "hydra.run.dir=$folder/path_model"
        diffig-evaluate -m experiment=latent_vae "scale=$scale" "latent.folder=$folder" "hydra.sweep.dir=$out/$latent_channels" \
            latent.name="$latent_channels-channels" n_paths=1,10 "$@"
    done
    ;;
esac
diffig-report "runs=$out" "output=$out/report"
