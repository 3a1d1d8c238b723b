#!/usr/bin/env bash
# Source archive and wheel as they are published, built by the pinned tools and checked: complete,
# the same bytes each time and from either source, and with a description that PyPI can show.
# Usage: packaging/build_dist.sh OUT [PYTHON]        (OUT: an empty or absent folder)
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
python=${2:-python3}
checkout=$(cd "$(dirname "$0")/.." && pwd)
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
[ -z "$(ls -A "$out")" ] || { echo "error: $1 is not empty" >&2; exit 1; }
export PIP_CONSTRAINT="$checkout/constraints.txt" PIP_BUILD_CONSTRAINT="$checkout/constraints.txt"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONDONTWRITEBYTECODE=1
cd "$checkout"
if [ -z "${SOURCE_DATE_EPOCH:-}" ] && git rev-parse --git-dir >"$home/git" 2>&1; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
fi
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1580601600}

"$python" -m venv "$home/env"
"$home/env/bin/pip" install -q build twine hatchling click
build() { "$home/env/bin/python" -m build "$@" >"$home/log" 2>&1 || { cat "$home/log" >&2; exit 1; }; }

# The wheel is made from the source archive, each in an environment with nothing but what it names.
build -o "$out" .
sdist=$(echo "$out"/*.tar.gz) wheel=$(echo "$out"/*.whl)

# Again: from the checkout, and by somebody who has the archive alone and shares no file with others.
build --no-isolation --sdist --wheel -o "$home/again" .
cmp "$sdist" "$home"/again/*.tar.gz
cmp "$wheel" "$home"/again/*.whl
mkdir "$home/unpacked"
(
    umask 077
    tar -xzf "$sdist" -C "$home/unpacked" --no-same-permissions
    cd "$home/unpacked"/*
    build --no-isolation --wheel -o "$home/elsewhere" .
)
cmp "$wheel" "$home"/elsewhere/*.whl

"$home/env/bin/twine" check --strict "$out"/*

# All that is under version control: tests, their data, recipes.
if [ -s "$home/git" ] && [ -e .git ]; then
    git ls-files | LC_ALL=C sort >"$home/tracked"
    tar -tzf "$sdist" | cut -d / -f 2- | LC_ALL=C sort >"$home/packed"
    missing=$(LC_ALL=C comm -23 "$home/tracked" "$home/packed")
    [ -z "$missing" ] || { echo "error: the source archive lacks: $missing" >&2; exit 1; }
fi
(cd "$out" && sha256sum -- *)
