"""Pictures behind a slider, kept as one file beside the notebook: the site shows them with a slider of its own.

A notebook in the repository holds a few stills and no widget state. When it is run, `execute.py` finds its sliders (made by
`engine.sliders.show_frames`) and writes all frames of each into nbs/images/frames/PAGE-K.webp, as a grid; the output's
metadata say what lies there. `site.py` makes a slider of it that needs no kernel and no widget code.
"""
import base64
import io
import math
from pathlib import Path

from PIL import Image

WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
LONGEST = 16_000  # px, a side of a WebP picture is at most 16,383


def children(model: dict, state: dict) -> list[dict]:
    """The widgets in a box or a stack."""
    names = model["state"]["children"]
    return [state[name.removeprefix("IPY_MODEL_")] for name in names]


def picture(model: dict) -> Image.Image:
    """The picture of an Image widget."""
    stored = next(buffer for buffer in model["buffers"] if buffer["path"] == ["value"])
    return Image.open(io.BytesIO(base64.b64decode(stored["data"]))).convert("RGB")


def frames_of(output: dict, state: dict) -> tuple[list[Image.Image], list[str]]:
    """All pictures of a slider and what each shows."""
    box = state[output["data"][WIDGET]["model_id"]]
    controls, stack = children(box, state)
    slider = children(controls, state)[1]
    pictures = [picture(model) for model in children(stack, state)]
    return pictures, list(slider["state"]["_options_labels"])


def as_grid(pictures: list[Image.Image]) -> tuple[Image.Image, int]:
    """All pictures as one, row by row, and the number of columns."""
    width, height = pictures[0].size
    columns = max(1, math.ceil(len(pictures) * height / LONGEST))
    rows = math.ceil(len(pictures) / columns)
    grid = Image.new("RGB", (columns * width, rows * height), "white")
    for k, one in enumerate(pictures):
        grid.paste(one, (k % columns * width, k // columns * height))
    return grid, columns


def keep_frames(nb, path: Path) -> None:
    """Write the frames of a notebook's sliders beside it, and say in the outputs' metadata where they lie."""
    state = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    folder = next(parent for parent in path.parents if parent.name == "nbs") / "images" / "frames"
    outputs = [o for cell in nb.cells for o in cell.get("outputs", []) if WIDGET in o.get("data", {})]
    for k, output in enumerate(outputs, 1):
        if "image/png" not in output["data"] or "explorer" in output.metadata:
            continue
        pictures, labels = frames_of(output, state)
        grid, columns = as_grid(pictures)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{path.stem}-{k}.webp"
        grid.save(folder / name, lossless=True, method=6)
        width, height = pictures[0].size
        facts = dict(file=name, labels=labels, columns=columns, width=width, height=height)
        output.metadata["frames"] = facts
