#!/usr/bin/env bash
# Latent DiffIG against its peers, at N = 1 and N = 10; CENTRED=1 adds networks that learnt paths and not images.
# Usage: run.sh [small|cifar10|paper] [overrides of every evaluation...]
set -euo pipefail
cd "$(dirname "$0")/../.."
scale=${1:-small}
shift || true
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=outputs/latent_main/$scale
experiments/latent/train.sh "$scale"
evaluate() {
    echo "$(date +%T)  $1" >&2
    diffig-evaluate -m experiment=latent_main "scale=$scale" "hydra.sweep.dir=$out/$1" "${@:2}" >"$out/$1.log" 2>&1 ||
        { echo "$1 failed; see $out/$1.log" >&2 && return 1; }
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
