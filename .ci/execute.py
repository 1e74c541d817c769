"""Run notebooks in place and keep their outputs, as they are committed: `python .ci/execute.py [nbs/06_phase1.ipynb ...]`.

The size is TWOSTAGE_KD_PRESET's (default: tutorial). Widget views and their state are removed, so that GitHub shows the
picture that stands in the same output and a page does not change at every run; the frames of a slider go into a file beside
the page (`frames.py`), for the documentation site. Then nbdev_clean takes its turn. What was
run is written into the page's metadata, and `.ci/stale.py` compares it with the code of later days.
A cell's line `#| fig-alt: ...` becomes the alternative text of its pictures.
"""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from frames import WIDGET, keep_frames
from nbclient import NotebookClient
from stale import KEY, described

ROOT = Path(__file__).resolve().parents[1]
ALT = re.compile(r"^#\| fig-alt: (.+)$", re.MULTILINE)


def without_widgets(outputs: list) -> list:
    """The outputs of a cell as GitHub can show them: of a slider only the picture that it brings along."""
    kept = []
    for output in outputs:
        data = output.get("data", {})
        if data.pop(WIDGET, None) is None or "image/png" in data:
            kept.append(output)
    return kept


def describe(cell) -> None:
    """Give the pictures of a cell the alternative text that its first lines hold."""
    alt = ALT.search(cell.source)
    for output in cell.outputs:
        if alt and "image/png" in output.get("data", {}):
            output.setdefault("metadata", {})["image/png"] = {"alt": alt[1]}


def execute(path: Path) -> None:
    """Run one notebook with its folder as the working directory; written only if every cell succeeds."""
    nb = nbformat.read(path, as_version=4)
    code = described(path, os.environ.get("TWOSTAGE_KD_PRESET") or "tutorial")  # before it runs: a page may take long
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(nb, timeout=None, kernel_name="python3", resources=where, coalesce_streams=True).execute()
    keep_frames(nb, path)
    nb.metadata.pop("widgets", None)
    nb.metadata[KEY] = code
    for cell in nb.cells:
        if cell.cell_type == "code":
            describe(cell)
            cell.outputs = without_widgets(cell.outputs)
    nbformat.write(nb, path)
    subprocess.run(["nbdev_clean", "--fname", str(path)], cwd=ROOT, check=True)


if __name__ == "__main__":
    pages = [Path(argument) for argument in sys.argv[1:]]
    for path in pages or sorted((ROOT / "nbs").rglob("[!.]*.ipynb")):
        start = time.perf_counter()
        execute(path.resolve())
        print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)
