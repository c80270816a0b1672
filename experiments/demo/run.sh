#!/usr/bin/env bash
# The whole way in minutes: train the path model, evaluate six methods, write the report. Run from anywhere.
source "$(dirname "$0")/../study.sh" || exit
demo=outputs/demo

echo "1/3  the path model, trained from scratch"
diffig-train module=path_diffusion trainer=cpu trainer.max_steps=200 fields.val_samples=128 fields.num_workers=1 \
    hydra.run.dir=$demo/path_model

echo "2/3  six methods on two baselines (the classifier is trained on the way)"
diffig-evaluate -m experiment=demo trainer=cpu hydra.sweep.dir=$demo/sweep \
    method=ig,spi,gig,coarse_to_fine,diffig_field,random guidance.faithfulness=0,0.2,1 baseline=black,blur

echo "3/3  the report"
diffig-report runs=$demo output=$demo
echo "open $demo/report.html"
