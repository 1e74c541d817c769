#!/usr/bin/env bash
# Build sdist and wheel into a folder, then try the wheel where nothing of this repository is: `.ci/release.sh dist`.
# Needs `pip install build`. The fresh environment installs the package's requirements from the index.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(realpath -m "${1:?the folder for sdist and wheel}")
checks=$PWD/.ci
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH PYTHONHOME

python -m build --outdir "$out" . # the wheel is built from the sdist, so the sdist is whole
python -m venv "$work/venv"
"$work/venv/bin/pip" install -q "$out"/*.whl
cd "$work" # not in the repository, whose folder would be imported instead
"$work/venv/bin/python" "$checks/imports.py"
"$work/venv/bin/twostage-kd" run --help > help.txt
grep -q -- --recipe help.txt
"$work/venv/bin/python" -c "
from twostage_kd.engine.records import read_records
print(len(read_records()), 'stored results came along')"
ls -l "$out"
