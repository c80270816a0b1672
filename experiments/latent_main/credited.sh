#!/usr/bin/env bash
# Latent DiffIG and its peers, all with the logit, a credit, the consensus of N candidates and the choice of a width.
# Usage: credited.sh [small|cifar10|paper] [overrides of every evaluation...]; parts are trained first where there are none.
source "$(dirname "$0")/../study.sh" || exit
scale=$(choice scale "${1:-small}" small cifar10 paper)
shift || true
out=outputs/latent_credited/$scale
CENTRED=1 experiments/latent/train.sh "$scale"
case $scale in small) limit=200 ;; *) limit=100 ;; esac
mkdir -p "$out"
evaluate() { # evaluate <name> <words...>
    say "$1"
    logged "$out/$1.log" diffig-evaluate -m "scale=$scale" "limit=$limit" batch_size=25 metrics=suite \
        'metrics.metrics.diffid_blur.readouts=[hard]' '~metrics.metrics.sensitivity' '~metrics.metrics.emprt' \
        '~metrics.metrics.localisation' '~metrics.metrics.infidelity' '~metrics.metrics.diffid_signed' \
        '~metrics.metrics.diffid_signed_rank_blur' '~metrics.metrics.diffid_bounds' \
        "hydra.sweep.dir=$out/$1" objective=logit "footprint=[0,0.01,0.02,0.03,0.045,0.06,0.08,0.1]" \
        credit.p=2 aggregation=consensus "${@:2}"
}
# A path from coarse to fine divides among those that agree, one that starts with the baseline's pixels in proportion.
whole=(credit=proportional)
scheduled=(credit=agreeing method.nodes=score 'method.schedule={_target_:diffig.paths.Schedule}')
evaluate ig method=ig "${whole[@]}" "$@"
evaluate gig method=gig "${whole[@]}" "$@"
evaluate spi method=spi n_paths=1,10 "${whole[@]}" "$@"
evaluate coarse_to_fine method=coarse_to_fine credit=agreeing "$@"
evaluate field method=diffig_field credit=agreeing "$@"
evaluate latent method=diffig_latent n_paths=1,10 "${whole[@]}" "$@"
evaluate latent_guided method=diffig_latent n_paths=1,10 learned.lambda_faith=1000 "${whole[@]}" "$@"
evaluate latent_centred method=diffig_latent n_paths=1,10 learned=centred learned.lambda_faith=1000 "${whole[@]}" "$@"
evaluate scheduled method=diffig_latent n_paths=1,10 "${scheduled[@]}" "$@"
evaluate scheduled_guided method=diffig_latent n_paths=1,10 learned.lambda_faith=1000 "${scheduled[@]}" "$@"
evaluate scheduled_centred method=diffig_latent n_paths=1,10 learned=centred learned.lambda_faith=1000 "${scheduled[@]}" "$@"
PYTHONPATH=experiments/benchmark python experiments/latent_main/credited.py "$out" "experiments/latent_main/results/$scale"
