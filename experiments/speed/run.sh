#!/usr/bin/env bash
# Ratios beside peers, then cost curves: a quarter of an hour of one core.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:-outputs/speed}
python experiments/speed/ratios.py --output "$out/ratios.csv"
MALLOC_MMAP_THRESHOLD_=65536 python experiments/speed/curves.py --output "$out"
