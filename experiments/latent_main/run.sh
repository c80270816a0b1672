#!/usr/bin/env bash
# Latent DiffIG against its peers, at N = 1 and N = 10; CENTRED=1 adds networks that learnt paths and not images.
# Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_main/$scale
experiments/latent/train.sh "$scale"
evaluate() {
    say "$1"
    logged "$out/$1.log" diffig-evaluate -m experiment=latent_main "scale=$scale" "hydra.sweep.dir=$out/$1" "${@:2}"
}
mkdir -p "$out"
{
    evaluate peers method=ig,gig,coarse_to_fine,random "$@"
    evaluate spi method=spi n_paths=1,10 "$@"
    evaluate latent method=diffig_latent n_paths=1,10 "$@"
    evaluate field_judged method=diffig_field steps=128 "$@"
} &
peers=$!
if [ "$scale" = paper ]; then wait $peers; fi # one device, one evaluation at a time
evaluate guided method=diffig_latent n_paths=1,10 "learned=default${CENTRED:+,centred}" learned.lambda_faith=1000 "$@"
evaluate field method=diffig_field guidance=none n_paths=1,10 "$@"
if [ "$scale" != paper ]; then wait $peers; fi
diffig-report "runs=$out" "output=$out/report" reference=ig
