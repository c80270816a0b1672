#!/usr/bin/env bash
# The concentration of the stick-breaking distribution: one path model that listens to it. Usage: run.sh [small|cifar10|paper] [overrides...]
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_concentration/$scale
experiments/latent/train.sh "$scale"
folder=$(diffig-evaluate "scale=$scale" --cfg job --package latent | sed -n 's/^folder: //p')
case $scale in paper) steps=1000000 size=base ;; *) steps=1500 size=tiny ;; esac
diffig-train module=latent_diffusion "scale=$scale" module.prior.concentration_input=true module.learning_rate=1e-3 \
    module.prior.size=$size trainer.max_steps=$steps "hydra.run.dir=$folder/listening"
diffig-evaluate -m experiment=latent_concentration "scale=$scale" "hydra.sweep.dir=$out/latent" \
    "latent.prior=$folder/listening/prior.safetensors" "$@"
diffig-evaluate -m experiment=latent_concentration "scale=$scale" "hydra.sweep.dir=$out/spi" method=spi "$@"
diffig-report "runs=$out" "output=$out/report"
