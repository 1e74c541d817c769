"""What a reader of the API finds no word on: `python .ci/documented.py`, one sentence for each.

Every public function and class has a docstring, its public methods too; outside of the app it is one line. In a lesson
every parameter has a type or a comment, or the docstring names it, and a tensor or array a shape, written `[B, C]`: beside
it, in the first line or in the docstring; or a reference to what has it.
"""
import ast
import re
import sys
from collections.abc import Iterator

from layers import PACKAGE, lessons

Function = ast.FunctionDef | ast.AsyncFunctionDef
ARRAYS = re.compile(r"\b(Tensor|ndarray)\b")
SHAPE = re.compile(r"\[[^\]]*\]|scalar|any shape|(as|of) `")   # or a reference to what has it


def public(tree: ast.Module) -> set[str]:
    """The names in a module's __all__."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def parts(tree: ast.Module) -> Iterator[tuple[str, ast.AST, str]]:
    """Each public class, function and method with its name and the docstring of its class."""
    names = public(tree)
    for node in tree.body:
        if getattr(node, "name", None) in names:
            yield node.name, node, ""
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, Function) and (inner.name == "__init__" or not inner.name.startswith("_")):
                    yield f"{node.name}.{inner.name}", inner, ast.get_docstring(node) or ""


def without_docstring(name: str, node: ast.AST, in_app: bool) -> Iterator[str]:
    """Say so if there is no docstring, or, outside of the app, a long one."""
    lines = (ast.get_docstring(node) or "").splitlines()
    if name.endswith(".__init__") or len(lines) == 1 or lines and in_app:
        return
    yield f"{name} has a docstring of {len(lines)} lines"


def without_meaning(name: str, function: Function, lines: list[str], about: str) -> Iterator[str]:
    """Name the parameters of a function that nothing is said of; `about`: the docstring of its class."""
    said = " ".join([about, ast.get_docstring(function) or "", comment(lines[function.lineno - 1])])
    spec = function.args
    for arg in [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, [spec.vararg, spec.kwarg])]:
        if arg.arg in ("self", "cls"):
            continue
        kind = ast.unparse(arg.annotation) if arg.annotation else ""
        beside = comment(lines[arg.end_lineno - 1])
        named = re.search(rf"\b{arg.arg}\b", said)
        if not (kind or beside or named):
            yield f"{name}: nothing says what {arg.arg} is"
        elif ARRAYS.search(kind) and not SHAPE.search(f"{beside} {said}"):
            yield f"{name}: nothing says what shape {arg.arg} has"


def comment(line: str) -> str:
    """What follows a line's last hash sign."""
    return line.rpartition("#")[2] if "#" in line else ""


def findings() -> Iterator[str]:
    """A sentence for each gap."""
    found = lessons()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(PACKAGE.parent).as_posix()
        for name, node, about in parts(ast.parse(text)):
            said = list(without_docstring(name, node, path.parent.name == "app"))
            if path.stem in found and path.parent == PACKAGE and isinstance(node, Function):
                said += without_meaning(name, node, text.splitlines(), about)
            yield from (f"{where}, line {node.lineno}: {sentence}" for sentence in said)


if __name__ == "__main__":
    if len(lessons()) < 5:
        sys.exit(f"only {len(lessons())} lessons were found under nbs: this check has nothing to check.")
    for sentence in (sentences := list(findings())):
        print(sentence)
    sys.exit(1 if sentences else 0)
