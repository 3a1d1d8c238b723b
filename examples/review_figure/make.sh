#!/usr/bin/env bash
# All four panels with the models that ship, their pictures and tables: some minutes of one core.
# Usage: make.sh OUTPUT [PYTHON]; panel c needs scikit-learn, d has UMAP where umap-learn is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1 python=${2:-python3}
mkdir -p "$out"
"$python" "$here/figure_2a.py" "$out/figure_2a"
"$python" "$here/figure_2b.py" "$out"
"$python" "$here/figure_2c.py" "$out/figure_2c"
"$python" "$here/figure_2d.py" "$out/figure_2d"
