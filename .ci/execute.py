"""Run notebooks in place and keep their outputs, as they are committed: `python .ci/execute.py [nbs/06_phase1.ipynb ...]`.

The size is TWOSTAGE_KD_PRESET's (default: tutorial). Widget views and their state are removed, so that GitHub shows the
picture that stands beside them and a page does not change at every run; then nbdev_clean takes its turn. What was run is
written into the page's metadata, and `.ci/stale.py` compares it with the code of later days.
"""
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from stale import KEY, described

ROOT = Path(__file__).resolve().parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(path: Path) -> None:
    """Run one notebook with its folder as the working directory; written only if every cell succeeds."""
    nb = nbformat.read(path, as_version=4)
    code = described(path, os.environ.get("TWOSTAGE_KD_PRESET") or "tutorial")  # before it runs: a page may take long
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(nb, timeout=None, kernel_name="python3", resources=where, coalesce_streams=True).execute()
    nb.metadata.pop("widgets", None)
    nb.metadata[KEY] = code
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    nbformat.write(nb, path)
    subprocess.run(["nbdev_clean", "--fname", str(path)], cwd=ROOT, check=True)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted((ROOT / "nbs").rglob("[!.]*.ipynb"))):
        start = time.perf_counter()
        execute(path.resolve())
        print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)
