"""Name the pages whose stored outputs were made by other code than today's: `python .ci/stale.py [nbs/04_crd.ipynb ...]`.

`.ci/execute.py` stores in a page's metadata what it ran: the size, a digest of the page's own code cells, one of each
module that the page imports, directly or through another, and one of the records if the page itself reads them. Comments,
docstrings, types and layout do not count. A stale lesson is a warning; a stale page of EXACT, whose numbers a visitor takes
for today's, is a failure.
"""
import ast
import hashlib
import sys
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from layers import PACKAGE, ROOT, imported

from twostage_kd.engine.files import code_as_text

KEY = "executed"  # of the notebook's metadata; nbdev_clean keeps it by allowed_metadata_keys in settings.ini
EXACT = ("nbs/index.ipynb", "nbs/app/cli.ipynb", "nbs/app/report.ipynb")
COLAB = "colab"  # the cell of links.py: it does nothing here


def digest(*parts: bytes) -> str:
    """Ten hexadecimal digits that stand for these bytes."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:10]


def own_code(path: Path) -> ast.Module:
    """A notebook's code cells as one program, `!command` and `%magic` made calls as IPython does it; without Colab's."""
    program = ast.Module(body=[], type_ignores=[])
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and cell.id != COLAB:
            source = TransformerManager().transform_cell(cell.source)
            program.body += ast.parse(source, filename=f"{path}, cell {cell.id}").body
    return program


def module_file(name: str) -> Path:
    """Where a module such as engine.training lies."""
    return PACKAGE.joinpath(*name.split(".")).with_suffix(".py")


def closure(program: ast.Module) -> list[str]:
    """The package's modules that a program imports, with those that they import."""
    found, waiting = set(), imported(program, ())
    while waiting:
        name = waiting.pop()
        if name not in found and module_file(name).exists():
            found.add(name)
            here = (PACKAGE.name, *name.split("."))
            waiting |= imported(ast.parse(module_file(name).read_text(encoding="utf-8")), here)
    return sorted(found)


def module_digest(name: str) -> str:
    """Of a module's code, and of the package's other files that it names (a template, a style sheet)."""
    tree = ast.parse(module_file(name).read_text(encoding="utf-8"))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    beside = sorted(f for f in module_file(name).parent.iterdir() if f.name in strings and f.suffix != ".py" and f.is_file())
    return digest(code_as_text(tree).encode(), *(f.read_bytes() for f in beside))


def records_digest() -> str:
    """Of all stored results."""
    files = sorted(f for f in (PACKAGE / "results").rglob("*") if f.is_file())
    return digest(*(part for f in files for part in (f.relative_to(PACKAGE).as_posix().encode(), f.read_bytes())))


def described(path: Path, size: str = "tutorial") -> dict[str, str]:
    """What the outputs of a page depend on: this goes into its metadata."""
    program = own_code(path)
    found = {"size": size, "own cells": digest(code_as_text(program).encode())}
    found |= {f"twostage_kd.{name}": module_digest(name) for name in closure(program)}
    if any("read_records" in (getattr(node, "id", ""), getattr(node, "attr", "")) for node in ast.walk(program)):
        found["records"] = records_digest()
    return found


def differences(path: Path) -> list[str]:
    """What has changed since a page was executed; empty if nothing has."""
    stored, now = nbformat.read(path, as_version=4).metadata.get(KEY, {}), described(path)
    if not own_code(path).body:
        return []  # words alone
    if not stored:
        return ["never executed by .ci/execute.py"]
    return sorted(name for name in stored.keys() | now.keys() if stored.get(name) != now.get(name))


def main(pages: list[str]) -> int:
    """Print a sentence for each stale page; 1 if one of them is a page of EXACT."""
    paths = [Path(p).resolve() for p in pages] or sorted((ROOT / "nbs").rglob("[!.]*.ipynb"))
    failed = False
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if changed := differences(path):
            failed |= name in EXACT
            kind = "STALE" if name in EXACT else "warning: stale"
            print(f"{kind}: {name} ({', '.join(changed)}): run `python .ci/execute.py {name}`")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
