#!/usr/bin/env bash
# The frozen choice on images that nothing was chosen on. Usage: judge.sh cifar10|photos [overrides of every evaluation...]
# DIFFIG_SHARED_DATA names the folder of data and weights. A part that was killed goes on when it is started again.
source "$(dirname "$0")/../study.sh" || exit
pair=$(choice pair "${1:-}" cifar10 photos)
shift
needs_data the images and weights of "$pair"
case $pair in
cifar10) images=(experiment=cifar10 limit=300 batch_size=50) ;;
photos) images=(experiment=photos skip=100 limit=40 batch_size=8) ;;
esac
# What asks each image again, and what is not in the table.
left_out=(sensitivity emprt localisation infidelity diffid_signed diffid_bounds)
out=outputs/credit/judged/$pair
judge() {
    diffig-evaluate -m "${images[@]}" metrics=suite "${left_out[@]/#/~metrics.metrics.}" "hydra.sweep.dir=$out/$1" "${@:2}"
}
widths="footprint=[0,0.01,0.02,0.03,0.045,0.06,0.08,0.1]" # what DiffIG chooses among, for everybody else
agreeing=(objective=logit credit=agreeing credit.p=2)
proportional=(objective=logit credit=proportional credit.p=2)
judge default preset=default "$@"
judge lrp method=lrp,centre_gaussian "$@"
judge schedule_widths method=coarse_to_fine "${agreeing[@]}" "$widths" "$@"
judge lrp_widths method=lrp "$widths" "$@"
judge fast preset=fast "$@"
judge rivals_widths method=ig,gig "${proportional[@]}" "$widths" "$@"
judge one_width method=diffig_field footprint=0.02 "$@"
judge mean method=diffig_field guidance.keep=mean "$@"
judge mixture method=diffig_field guidance.keep=best_mixture "$@"
judge published method=coarse_to_fine,ig,gig,idgi "$@"
judge best preset=best "$@"
diffig-report "runs=$out" "output=$out/report" reference=lrp
