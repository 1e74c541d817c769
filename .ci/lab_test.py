"""Pages with sliders in a real JupyterLab: `python .ci/lab_test.py [nbs/04_crd.ipynb ...]` (default: all with sliders).

`.ci/run` tries the one that costs least, and all of them with TWOSTAGE_KD_LAB=all.

Each page is run whole at smoke size in headless chromium; no cell may show an error, and each slider, moved by its key,
changes its picture, as does a choice of two networks. Needs jupyterlab, playwright and Debian's chromium. The last line counts.
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
RUN = """async () => {
    const page = window.jupyterapp.shell.currentWidget;
    await page.context.ready;
    await page.sessionContext.ready;
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""
ERRORS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells].flatMap(cell =>
    cell.type !== 'code' ? [] : cell.toJSON().outputs.filter(o => o.output_type === 'error')
        .map(o => `${o.ename}: ${o.evalue}`))"""
SHOWN = re.compile(r"show_frames\(|explore_pairs\(")
BOX = ".jp-OutputArea .widget-vbox:has(.widget-slider)"
WHOLE = '{"windowingMode": "none"}'  # else what is out of sight is not in the page


def pages() -> list[Path]:
    """The notebooks that show a slider."""
    found = sorted((ROOT / "nbs").rglob("[!.]*.ipynb"))
    return [path for path in found if SHOWN.search(path.read_text(encoding="utf-8"))]


def start_lab(folder: Path) -> tuple[subprocess.Popen, int]:
    """JupyterLab on a folder, at a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / ".settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(WHOLE)
    environment = os.environ | dict(
        JUPYTERLAB_SETTINGS_DIR=str(folder / ".settings"), TWOSTAGE_KD_PRESET="smoke", OMP_NUM_THREADS="1")
    words = ["jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1", f"--notebook-dir={folder}",
             "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", "--ServerApp.log_level=ERROR"]
    lab = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2)
            return lab, port
        except OSError:
            time.sleep(1)
    lab.kill()
    raise SystemExit("JupyterLab did not start within ten minutes.")


def changes(page, picture, before: str) -> bool:
    """Whether a picture becomes another one within a minute."""
    for _ in range(240):
        if picture.get_attribute("src") != before:
            return True
        page.wait_for_timeout(250)
    return False


def try_page(page, address: str) -> tuple[list[str], int]:
    """Run a page; what is wrong, and how many sliders were moved."""
    page.set_default_timeout(900_000)  # ms; a busy machine is slow
    page.goto(address)
    page.wait_for_function("window.jupyterapp && window.jupyterapp.shell.currentWidget")
    page.evaluate(RUN)
    wrong, boxes = page.evaluate(ERRORS), page.locator(BOX).all()
    for k, box in enumerate(boxes, 1):
        if box.locator("select").count():  # all pairs of networks, drawn by the kernel
            moves = [lambda: box.locator("select").last.select_option(index=0), box.locator("button", has_text="both wrong").click]
        else:
            moves = [lambda: box.locator(".noUi-handle").press("ArrowRight")]
        for move in moves:
            picture = box.locator("img:visible").first
            before = picture.get_attribute("src")
            move()
            if not changes(page, picture, before):
                wrong.append(f"control {k} moves nothing")
    return wrong, len(boxes)


def main(names: list[Path]) -> int:
    """Try all pages; the number of findings."""
    found = moved = 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        copy = Path(folder) / "nbs"
        shutil.copytree(ROOT / "nbs", copy, ignore=shutil.ignore_patterns(".*", "runs"))
        shutil.copytree(ROOT / "twostage_kd", Path(folder) / "twostage_kd")  # a page's last cell exports
        shutil.copy(ROOT / "settings.ini", folder)
        lab, port = start_lab(copy)
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            for path in names:
                start, page = time.monotonic(), browser.new_page(viewport=dict(width=1400, height=1000))
                name = path.resolve().relative_to(ROOT / "nbs").as_posix()
                wrong, sliders = try_page(page, f"http://127.0.0.1:{port}/doc/tree/{name}")
                page.close()
                if not sliders:
                    wrong.append("no slider is there")
                found, moved = found + len(wrong), moved + sliders
                print(f"{name}: {sliders} sliders, {time.monotonic() - start:.0f} s", *wrong, sep="\n  ", flush=True)
        finally:
            browser.close()
            lab.terminate()
            lab.wait(30)
    print(f"{len(names)} pages in JupyterLab, {moved} sliders moved, {found} findings")
    return found


if __name__ == "__main__":
    sys.exit(1 if main([Path(name) for name in sys.argv[1:]] or pages()) else 0)
