"""Does `.ci/stale.py` find what it should, and only that? On a package and two pages made for the purpose: seconds."""
import contextlib
import io
import tempfile
from pathlib import Path

import nbformat
import stale

FILES = {
    "twostage_kd/used.py": "from .engine.below import half\n\ndef double(x):\n    \"Twice.\"\n    return 2 * x\n",
    "twostage_kd/engine/below.py": "def half(x):\n    template = 'page.html'\n    return x / 2\n",
    "twostage_kd/engine/page.html": "<p>",
    "twostage_kd/engine/other.html": "<p>",
    "twostage_kd/unused.py": "x = 1\n",
    "twostage_kd/results/a.json": "{}",
}
CELLS = ["from twostage_kd.used import double\n!echo hello", "double(3)  # six"]
READS = ["from twostage_kd.engine.records import read_records\nread_records()"]
CHANGES = {  # what: (file, old, new, what must be named)
    "a comment in a module": ("twostage_kd/used.py", "2 * x", "2 * x  # twice", []),
    "layout": ("twostage_kd/used.py", "return 2 * x", "\n    return (2\n        * x)", []),
    "a docstring": ("twostage_kd/used.py", "Twice.", "Two times.", []),
    "a module that nobody imports": ("twostage_kd/unused.py", "1", "2", []),
    "a file that nobody names": ("twostage_kd/engine/other.html", "<p>", "<b>", []),
    "a record, for a page that reads none": ("twostage_kd/results/a.json", "{}", "[]", []),
    "code": ("twostage_kd/used.py", "2 * x", "3 * x", ["twostage_kd.used"]),
    "code two imports away": ("twostage_kd/engine/below.py", "/ 2", "/ 3", ["twostage_kd.engine.below"]),
    "a template": ("twostage_kd/engine/page.html", "<p>", "<b>", ["twostage_kd.engine.below"]),
    "a comment in a cell": ("nbs/index.ipynb", "# six", "# 6", []),
    "a cell": ("nbs/index.ipynb", "double(3)", "double(4)", ["own cells"]),
    "a command in a cell": ("nbs/index.ipynb", "hello", "goodbye", ["own cells"]),
    "the size": ("nbs/index.ipynb", "tutorial", "smoke", ["size"]),
    "the digests": ("nbs/index.ipynb", stale.KEY, "forgotten", ["never executed by .ci/execute.py"]),
}


def write_page(path: Path, cells: list[str]) -> None:
    """A page as `.ci/execute.py` leaves it."""
    path.parent.mkdir(exist_ok=True)
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(nb, path)
    nb.metadata[stale.KEY] = stale.described(path)
    nbformat.write(nb, path)


def check(said: bool, what: str) -> None:
    """Stop unless it is so."""
    if not said:
        raise SystemExit(f"FAILED: {what}.")


def silently(pages: list[str]) -> int:
    """The exit code, without the sentences."""
    with contextlib.redirect_stdout(io.StringIO()):
        return stale.main(pages)


def main() -> None:
    """All changes, one at a time."""
    with tempfile.TemporaryDirectory() as folder:
        stale.ROOT = Path(folder).resolve()
        stale.PACKAGE = stale.ROOT / "twostage_kd"
        for name, text in FILES.items():
            (stale.ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (stale.ROOT / name).write_text(text)
        index, lesson, reader = (stale.ROOT / "nbs" / name for name in ("index.ipynb", "01_lesson.ipynb", "02_reader.ipynb"))
        for path, cells in ((index, CELLS), (lesson, CELLS), (reader, READS)):
            write_page(path, cells)
        check(silently([]) == 0, "nothing changed, but a page is called stale")

        for what, (name, old, new, named) in CHANGES.items():
            path = stale.ROOT / name
            before = path.read_text()
            check(old in before, f"{name} has no {old!r} to change")
            path.write_text(before.replace(old, new))
            found = stale.differences(index)
            check(found == named, f"after {what} was changed, {found} was named instead of {named}")
            check(silently([str(index)]) == bool(named), f"after {what} was changed, the front page's exit code is wrong")
            check(silently([str(lesson)]) == 0, f"after {what} was changed, a lesson stopped the check")
            path.write_text(before)

        (stale.PACKAGE / "results/a.json").write_text("[]")
        check(stale.differences(reader) == ["records"], "a page that reads the records did not notice a new one")
    print(f"{len(CHANGES) + 1} changes: found, or rightly passed over")


if __name__ == "__main__":
    main()
