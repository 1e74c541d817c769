"""Build the documentation site from the stored outputs: `python .ci/site/build.py [OUT]` (default: _site).

Needs `pip install -e '.[site]'` and npm (for MathJax, so that formulas need no network). Look at it with
`python -m http.server -d _site`. A broken link or a picture without alternative text fails the build.
"""
import html
import importlib
import inspect
import json
import math
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import nbformat
from fastcore.docments import docments
from nbformat.v4 import new_markdown_cell, new_output

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import write_answers  # noqa: E402
from readme import owned  # noqa: E402

ROOT = HERE.parents[1]
NBS = ROOT / "nbs"
MATHJAX = "mathjax@3.2.2"
GROUPS = {"Lessons": "[0-9]*", "Questions": "faq", "Engine": "engine/[!.]*", "App": "app/[!.]*",
          "Benchmarks": "benchmarks/[!.]*", "Changes": "changelog"}
FLAG = re.compile(r"^#\|\s*(.+?)\s*$", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')
LINK = re.compile(r"\]\((?:(?:[\w/.]*/)?([\w-]+)\.ipynb)?#([\w-]+)\)")
PICTURE = re.compile(r"!\[\s*\]\(")


class Problems(list):
    """Sentences about what a page lacks."""


def pages() -> dict[str, list[str]]:
    """All pages by group, without the index, as Sphinx names them."""
    out = {}
    for group, pattern in GROUPS.items():
        files = sorted(NBS.glob(f"{pattern}.ipynb"))
        names = [path.relative_to(NBS).with_suffix("").as_posix() for path in files]
        out[group] = [name for name in names if name != "index"]
    return out


def tables_of_contents() -> str:
    """The sidebar, as hidden tables of contents."""
    parts = []
    for group, names in pages().items():
        parts.append("```{toctree}\n:hidden:\n:caption: " + group + "\n\n" + "\n".join(names) + "\n```")
    return "\n\n".join(parts)


def linked(text: str) -> str:
    """The addresses of this repository, and the licence, which is no page of the site."""
    text = text.replace("](../LICENSE)", "](https://github.com/OWNER/twostage_kd/blob/main/LICENSE)")
    return owned(text)


def anchored(text: str, here: str) -> str:
    """HTML anchors as targets that Sphinx knows; `here`: the page's name, since targets must differ between pages."""
    text = ANCHOR.sub(lambda m: f"({here}-{m[1]})=", text)
    return LINK.sub(lambda m: target(m[0], m[1] or here, m[2]), text)


def target(link: str, page: str, name: str) -> str:
    """A link to an anchor by its new name; other links as they are."""
    found = [path for path in NBS.rglob("[!.]*.ipynb") if path.stem == page]
    if found and f'<a id=\\"{name}\\"></a>' in found[0].read_text(encoding="utf-8"):
        return f"](#{page}-{name})"
    return link


def slider(facts: dict, alt: str, depth: int) -> str:
    """The HTML of a slider over the frames of an output."""
    count, columns = len(facts["labels"]), facts["columns"]
    rows = math.ceil(count / columns)
    address = "../" * depth + "images/frames/" + facts["file"]
    style = (f"aspect-ratio: {facts['width']} / {facts['height']}; max-width: {facts['width']}px; "
             f"background-image: url({address}); background-size: {100 * columns}% {100 * rows}%")
    data = html.escape(json.dumps(facts), quote=True)
    return (f'<figure class="frames" data-frames="{data}"><div class="controls"><button type="button">play</button>'
            f'<input type="range" min="0" max="{count - 1}" value="0" aria-label="frame"><output></output></div>'
            f'<div class="frame" role="img" aria-label="{html.escape(alt, quote=True)}" style="{style}"></div></figure>')


def explorer(ids: list[str], depth: int) -> str:
    """The HTML of the explorer of all stored networks; `ids`: the two that it begins with."""
    first, second = (html.escape(one, quote=True) for one in ids)
    return f'<figure class="explorer" data-a="{first}" data-b="{second}" data-answers="{"../" * depth}_static/answers.js"></figure>'


def shown(cell, depth: int, problems: Problems) -> bool:
    """Prepare a code cell as a reader should see it; False if it is hidden."""
    flags = FLAG.findall(cell.source)
    if {"hide", "include: false"} & set(flags) or any(flag.startswith("default_exp") for flag in flags):
        return False
    cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.MULTILINE).strip()
    tags = {"echo: false": "remove-input", "output: false": "remove-output"}
    cell.metadata["tags"] = [tags[flag] for flag in flags if flag in tags]
    if not cell.source:
        return False
    for k, output in enumerate(list(cell.outputs)):
        if "image/png" not in output.get("data", {}):
            continue
        alt = output.get("metadata", {}).get("image/png", {}).get("alt")
        if not alt:
            problems.append(f"a picture has no alternative text (#| fig-alt: ...): {cell.source[:60]!r}")
            continue
        cell.metadata["mystnb"] = {"image": {"alt": alt}}
        if facts := output["metadata"].get("frames"):
            cell.outputs[k] = new_output("display_data", {"text/html": slider(facts, alt, depth)})
        elif ids := output["metadata"].get("explorer"):  # below its picture of some pairs
            cell.outputs.append(new_output("display_data", {"text/html": explorer(ids, depth)}))
    return True


def page(path: Path, problems: Problems):
    """A notebook as Sphinx should see it."""
    nb = nbformat.read(path, as_version=4)
    depth = len(path.relative_to(NBS).parents) - 1
    found = Problems()
    nb.cells = [cell for cell in nb.cells
                if cell.cell_type == "markdown" or cell.cell_type == "code" and shown(cell, depth, found)]
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = anchored(linked(cell.source), path.stem)
            if PICTURE.search(cell.source):
                found.append(f"a picture has no alternative text: {cell.source[:60]!r}")
    while nb.cells and re.fullmatch(r"##+ Tests.*", nb.cells[-1].source.strip(), re.DOTALL):
        nb.cells.pop()  # its cells are hidden
    if path.stem == "index":
        nb.cells.append(new_markdown_cell(tables_of_contents()))
    elif module := exported(path):
        nb.cells.append(new_markdown_cell(reference(module)))
    nb.metadata["language_info"] = {"name": "python"}
    problems.extend(f"{path.relative_to(ROOT)}: {sentence}" for sentence in found)
    return nb


def exported(path: Path) -> str | None:
    """The module that a notebook exports."""
    found = re.search(r"#\| default_exp ([\w.]+)", path.read_text(encoding="utf-8"))
    return found and found[1]


def reference(name: str) -> str:
    """The public names of a module with their parameters, as Markdown."""
    module = importlib.import_module(f"twostage_kd.{name}")
    parts = [f"## Reference: `twostage_kd.{name}`"]
    for public in module.__all__:
        thing = getattr(module, public)
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__ == module.__name__:
            parts.append(entry(public, thing))
    return "\n\n".join(parts)


def entry(name: str, thing) -> str:
    """A function or class: how it is called, what it does, its parameters."""
    try:
        call = f"{name}{inspect.signature(thing)}"
    except ValueError:
        call = name
    call = re.sub(r"<factory>|<class '([\w.]+)'>", lambda m: m[1] or "...", call)
    lines = [f"### {name}", f"```python\n{wrapped(call)}\n```", inspect.getdoc(thing) or ""]
    rows = ["| name | type | default | meaning |", "|---|---|---|---|"]
    for parameter, facts in docments(thing, full=True).items():
        if parameter != "self":
            rows.append(row(parameter, facts))
    if len(rows) > 2:
        lines.append("\n".join(rows))
    if inspect.isclass(thing):
        for method, function in vars(thing).items():
            if not method.startswith("_") and inspect.isfunction(function) and function.__doc__:
                lines.append(f"- `.{method}{inspect.signature(function)}`: {inspect.getdoc(function)}")
    return "\n\n".join(lines)


def wrapped(call: str) -> str:
    """A signature, a parameter on each line where it is long."""
    if len(call) <= 88:
        return call
    head, _, rest = call.partition("(")
    body, _, tail = rest.rpartition(")")
    parts = re.split(r", (?=\*{0,2}\w+(?::|=|,|$))", body)
    return head + "(\n    " + ",\n    ".join(parts) + "\n)" + tail


def row(name: str, facts: dict) -> str:
    """A parameter as a row of a table."""
    kind, default = facts["anno"], facts["default"]
    kind = "" if kind is inspect.Parameter.empty else getattr(kind, "__name__", str(kind))
    default = "" if default is inspect.Parameter.empty else f"`{default!r}`"
    cells = [f"`{name}`", f"`{kind}`" if kind else "", default, facts["docment"] or ""]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def fetch_mathjax(into: Path) -> None:
    """MathJax from npm: the script and its fonts."""
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run(["npm", "pack", "--silent", MATHJAX], cwd=folder, check=True, capture_output=True, text=True)
        with tarfile.open(Path(folder) / said.stdout.split()[-1]) as archive:
            archive.extractall(folder, filter="data")
        es5 = Path(folder) / "package" / "es5"
        shutil.copytree(es5 / "output" / "chtml" / "fonts", into / "output" / "chtml" / "fonts")
        shutil.copy(es5 / "tex-mml-chtml.js", into)


def build(out: Path) -> int:
    """Write the site; the number of problems."""
    problems = Problems()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        for path in sorted(NBS.rglob("[!.]*.ipynb")):
            target = source / path.relative_to(NBS)
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(page(path, problems), target)
        shutil.copytree(NBS / "images", source / "images")
        shutil.copytree(NBS / "images", source / "extra" / "images")
        (source / "static" / "mathjax").mkdir(parents=True)
        for name in ("site.css", "frames.js", "explorer.js", "favicon.svg"):
            shutil.copy(HERE / name, source / "static")
        write_answers(source / "static" / "answers.js")
        fetch_mathjax(source / "static" / "mathjax")
        shutil.copy(HERE / "conf.py", source)
        code = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", source, out]).returncode
    (out / ".nojekyll").touch()
    for sentence in problems:
        print(sentence, file=sys.stderr)
    return len(problems) + (code != 0)


if __name__ == "__main__":
    out = Path(sys.argv[1] if sys.argv[1:] else ROOT / "_site").resolve()
    sys.exit(f"{count} problems" if (count := build(out)) else 0)
