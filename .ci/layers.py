"""The three rules of imports: the engine knows no lesson, lessons know no app, and no lesson knows a later one."""
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "twostage_kd"


def lessons() -> dict[str, int]:
    """Each lesson's module and its number, from the notebooks."""
    found = {}
    for path in (ROOT / "nbs").glob("[0-9][0-9]*_*.ipynb"):
        exported = re.search(r"#\| default_exp (\w+)", path.read_text(encoding="utf-8"))
        if exported:
            found[exported[1]] = int(path.name[:2])
    return found


def imported(program: ast.Module, here: tuple[str, ...]) -> set[str]:
    """The package's own modules that a program imports anywhere, such as engine.training; `here` is its own dotted name."""
    names = set()
    for node in ast.walk(program):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = ".".join([*here[:len(here) - node.level], *filter(None, [node.module])]) if node.level else node.module
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("twostage_kd.") for name in names if name.startswith("twostage_kd.")}


def broken() -> list[str]:
    """A sentence for each import that breaks a rule."""
    order, said = lessons(), []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(here[1:])
        for name in sorted(imported(ast.parse(path.read_text(encoding="utf-8")), here)):
            first = name.split(".")[0]
            if module.startswith("engine.") and first in order:
                said.append(f"{module} imports the lesson {first}")
            if not module.startswith("app.") and first == "app":
                said.append(f"{module} imports {name}, which only the app may")
            if module in order and first in order and order[first] > order[module]:
                said.append(f"lesson {module} imports {first}, which comes later")
    return said


if __name__ == "__main__":
    if len(lessons()) < 5:
        sys.exit(f"only {len(lessons())} lessons were found under nbs: this check has nothing to check.")
    for sentence in (sentences := broken()):
        print(sentence)
    sys.exit(1 if sentences else 0)
