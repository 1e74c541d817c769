"""Keep the line and the cell by which a page is opened in Colab or Binder: `python .ci/links.py [--check]`.

Each lesson, and the page of questions, has a line of two links after its opening's reading time, and before its first code
cell one that installs the package on Colab and does nothing elsewhere. Both are made from settings.ini: whoever publishes
the repository sets `user` there and runs this script once. With --check it only names the pages that differ.
"""
import re
import sys
from configparser import ConfigParser
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell
from stale import COLAB

ROOT = Path(__file__).resolve().parents[1]
START = "*[Run this page in Colab]"
LINE = re.compile(rf"^{re.escape(START)}.*\n\n", re.MULTILINE)
SOURCE = """\
#| hide
# Only on Colab: install the package there. Elsewhere this cell does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install -q "{name} @ git+{address}\""""


def pages() -> list[Path]:
    """The lessons and the page of questions."""
    return [*sorted((ROOT / "nbs").glob("[0-9][0-9]*_*.ipynb")), ROOT / "nbs" / "faq.ipynb"]


def line_and_cell(path: Path) -> tuple[str, str]:
    """What a page should have."""
    config = ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    names = config["DEFAULT"]
    user, repo, branch = names["user"], names["repo"], names["branch"]
    place = f"nbs/{path.name}"
    colab = f"https://colab.research.google.com/github/{user}/{repo}/blob/{branch}/{place}"
    binder = f"https://mybinder.org/v2/gh/{user}/{repo}/{branch}?urlpath=lab/tree/{place}"
    line = f"{START}({colab}) or in [Binder]({binder}), in the browser; nothing has to be installed.*\n\n"
    return line, SOURCE.format(name=names["lib_name"], address=names["git_url"])


def place_line(source: str, line: str) -> str:
    """An opening with the line after its reading time, its first paragraph in italics."""
    parts = LINE.sub("", source).split("\n\n")
    after = next((k for k, part in enumerate(parts) if part.startswith("*") and "to read" in part), 1)
    return "\n\n".join([*parts[:after + 1], line.strip(), *parts[after + 1:]])


def mend(path: Path) -> bool:
    """Give a page its line and its cell, unless only asked to check; whether it lacked them."""
    nb = nbformat.read(path, as_version=4)
    before = nbformat.writes(nb)
    line, source = line_and_cell(path)
    nb.cells[0].source = place_line(nb.cells[0].source, line)
    nb.cells = [cell for cell in nb.cells if cell.id != COLAB]
    first = next(k for k, cell in enumerate(nb.cells) if cell.cell_type == "code")
    nb.cells.insert(first, new_code_cell(source, id=COLAB))
    changed = nbformat.writes(nb) != before
    if changed and "--check" not in sys.argv[1:]:
        nbformat.write(nb, path)
    return changed


if __name__ == "__main__":
    different = [path.name for path in pages() if mend(path)]
    if different and "--check" in sys.argv[1:]:
        sys.exit(f"{', '.join(different)}: links or Colab's cell differ from settings.ini: run `python .ci/links.py`.")
