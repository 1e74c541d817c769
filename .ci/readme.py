"""Make README.md from nbs/index.ipynb; with --check, only say whether it is up to date."""
import re
import sys
from configparser import ConfigParser
from pathlib import Path
from posixpath import join, normpath

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"""(\]\(|\b(?:src|srcset|href)=["'])(?!\w+:|[#/])([^)\s"'#]+)""")  # relative targets only
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
NOTE = "<!-- Made from nbs/index.ipynb by .ci/readme.py: edit the notebook. -->\n\n"


def from_root(match: re.Match) -> str:
    """A link written for nbs/, rewritten for the folder above; a target that is not there stops the script."""
    target = normpath(join("nbs", match[2]))
    if not (ROOT / target).exists():
        sys.exit(f"nbs/index.ipynb links to {match[2]}, but there is no {target}: correct the link or add the file.")
    return match[1] + target


def rewrite(text: str) -> str:
    """Links made relative to the repository's root, code left alone."""
    return "".join(part if i % 2 else LINK.sub(from_root, part) for i, part in enumerate(CODE.split(text)))


def shown(cell) -> bool:
    """Prepare one cell as a reader should see it; False if it is hidden."""
    flags = re.findall(r"^#\|\s*(.+?)\s*$", cell.source, re.MULTILINE)
    if cell.cell_type == "markdown":
        cell.source = rewrite(cell.source)
    else:
        cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.MULTILINE)
        cell.metadata["transient"] = {"remove_source": "echo: false" in flags or not cell.source.strip()}
        cell.outputs = [o for o in cell.outputs if not any(k.startswith("image/") for k in o.get("data", {}))]
    for data in (o.data for o in cell.get("outputs", []) if "data" in o):
        data.update({k: rewrite(v) for k, v in data.items() if k in ("text/markdown", "text/html")})
    return not {"hide", "include: false"} & set(flags) and not any(f.startswith("default_exp") for f in flags)


def owned(text: str) -> str:
    """The addresses of this repository, with its owner and name from settings.ini."""
    config = ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    names = config["DEFAULT"]
    return re.sub(r"\bOWNER(/|\.github\.io/)twostage_kd\b", rf"{names['user']}\1{names['repo']}", text)


def unlinked(text: str) -> list[str]:
    """The notebooks that the map on the front page leaves out."""
    pages = (path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "nbs").rglob("[!.]*.ipynb")))
    return [page for page in pages if page != "nbs/index.ipynb" and f"]({page})" not in text]


def main() -> None:
    """Write README.md, or compare with it."""
    nb = nbformat.read(ROOT / "nbs/index.ipynb", as_version=4)
    nb.metadata["language_info"] = {"name": "python"}  # nbdev_clean drops it
    nb.cells = [cell for cell in nb.cells if cell.cell_type != "raw" and shown(cell)]
    text = MarkdownExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(nb)[0]
    text = owned(NOTE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")
    if missing := unlinked(text):
        sys.exit(f"nbs/index.ipynb does not link to {', '.join(missing)}: add a row to its table 'All pages'.")
    readme = ROOT / "README.md"
    if "--check" not in sys.argv[1:]:
        readme.write_text(text, encoding="utf-8")
    elif not readme.exists() or readme.read_text(encoding="utf-8") != text:
        sys.exit("README.md differs from nbs/index.ipynb: run `python .ci/readme.py` and commit the result.")


if __name__ == "__main__":
    main()
