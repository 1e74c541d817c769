"""Look at every page of a built site in chromium: `python .ci/site/check.py _site [--shots DIR]`.

At 1280 and 390 px, light and dark: no error in the console, nothing loaded from elsewhere, nothing wider than the window, no
formula or table left as source, every picture with an alternative text; each slider changes its picture; the explorer of all stored
networks computes what `Contingency` does. Needs playwright and Debian's chromium. Exit code 1 names what was found.
"""
import functools
import http.server
import json
import math
import os
import re
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright
from twostage_kd.engine.records import CIFAR100_LABELS, read_records
from twostage_kd.statistics import Contingency, bootstrap, named, wilson_interval

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SIZES = [(1280, "light"), (390, "light"), (1280, "dark")]
LEFT = re.compile(r"\\(?:frac|mathrm|sum|lambda|tau|phi)\b|\$\$")
ROW = re.compile(r"^\|.*\|.*\|", re.MULTILINE)  # of a table in Markdown
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
NAMELESS = "[...document.querySelectorAll('article img')].filter(i => !i.alt).length"
PAIRS = [(0, 9), (1, 14), (8, 30), (13, 14), (26, 27), (44, 41), (7, 7)]  # places of networks in the explorer's lists
INDICES = ("phi", "kappa", "error_independence", "error_dice_distance", "esi", "oracle_accuracy")
PROSE = """[...document.querySelectorAll('article p, article li, article td')]
    .filter(e => !e.closest('mjx-container')).map(e => {
        const copy = e.cloneNode(true);
        copy.querySelectorAll('code, pre, mjx-container').forEach(part => part.remove());
        return copy.textContent}).join('\\n')"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that says nothing."""

    def log_message(self, *args):
        pass


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    """Serve a folder on a free port of this machine, in the background."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def move_sliders(page) -> list[str]:
    """Move each slider to its end; what did not change."""
    wrong = []
    for k, figure in enumerate(page.locator("figure.frames").all(), 1):
        frame, slider = figure.locator("div.frame"), figure.locator("input")
        figure.scroll_into_view_if_needed()
        before = frame.screenshot()
        slider.evaluate("e => {e.value = e.max; e.dispatchEvent(new Event('input'))}")
        if frame.screenshot() == before:
            wrong.append(f"slider {k} moves nothing")
    return wrong


def misses(shown: dict, table: Contingency) -> list[str]:
    """The numbers of the explorer that are not the package's."""
    one, two = (wilson_interval(k, table.n) for k in (table.a + table.b, table.a + table.c))
    test = table.mcnemar()
    exact = dict(counts=list(table), accuracy_a=one, accuracy_b=two, difference=table.accuracy_difference(),
                 mcnemar=(test.statistic, test.log10_p))
    found = [name for name, values in exact.items()
             if not all(math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-12) for x, y in zip(shown[name], values, strict=True))]
    if table.b + table.c == 0:  # a network with itself
        return found
    found += [name for name in (*INDICES, "phi_max")
              if not math.isclose(shown[name][0], getattr(table, name), rel_tol=1e-9)]
    for name in set(INDICES) - {"esi"}:  # the delta method against the bootstrap; ESI has a corner at b = c
        drawn = bootstrap(table, lambda t: getattr(t, name))
        if not all(abs(x - y) < 0.003 for x, y in zip(shown[name][1:], drawn[1:])):
            found.append(f"interval of {name}")
    return found


def try_explorer(page) -> list[str]:
    """Choose pairs of networks and press each cell; what is not as the package has it."""
    networks, found = list(named(read_records()).values()), []
    place = page.locator("figure.explorer")
    place.locator("select").first.wait_for()
    for pair in PAIRS:
        for select, k in zip(place.locator("select").all(), pair):
            select.select_option(str(k))
        shown = json.loads(place.get_attribute("data-statistics"))
        table = Contingency.from_predictions(CIFAR100_LABELS, *(networks[k].prediction for k in pair))
        found += [f"the explorer's {name} of {networks[pair[0]].id}, {networks[pair[1]].id}" for name in misses(shown, table)]
        for cell, count in zip("abcd", table):
            place.locator(f"[data-cell={cell}]").click()
            if f": {count:,} images" not in place.locator(".said caption").text_content():
                found.append(f"the explorer's cell {cell} of {pair} has not {count} images")
    return found


def wrong(message) -> bool:
    """Whether a line of the console is an error that no response names."""
    return message.type == "error" and "Failed to load resource" not in message.text


def look(page, address: str, width: int, shot: Path | None) -> tuple[list[str], int]:
    """What is wrong with a page at a width, and the number of its sliders."""
    errors = []
    page.on("console", lambda message: errors.append(message.text) if wrong(message) else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("http://127.0.0.1", "data:")) else errors.append(f"asks {r.url}"))
    page.on("response", lambda r: errors.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.set_default_timeout(180_000)  # ms; a busy machine is slow
    page.goto(address, wait_until="load")
    page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise : null")
    if (wider := page.evaluate(WIDER)) > 0:
        errors.append(f"{wider} px wider than the window")
    if nameless := page.evaluate(NAMELESS):
        errors.append(f"{nameless} pictures without alternative text")
    if found := LEFT.search(page.evaluate(PROSE)):
        errors.append(f"a formula is left as source: {found[0]}")
    if found := ROW.search(page.evaluate(PROSE)):
        errors.append(f"a table is left as source: {found[0]}")
    sliders = page.locator("figure.frames").count()
    errors += move_sliders(page)
    if page.locator("figure.explorer").count():
        errors += try_explorer(page)
    if shot:
        page.screenshot(path=shot, full_page=True)
    return errors, sliders


def check(site: Path, shots: Path | None) -> int:
    """Look at all pages; the number of findings."""
    server = serve(site)
    names = sorted(p.relative_to(site).as_posix() for p in site.rglob("*.html") if "_static" not in p.parts)
    found = moved = 0
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, scheme in SIZES:
            context = browser.new_context(viewport=dict(width=width, height=900), color_scheme=scheme)
            for name in names:
                page = context.new_page()
                shot = shots and shots / f"{name.replace('/', '-').removesuffix('.html')}-{width}-{scheme}.png"
                errors, sliders = look(page, f"http://127.0.0.1:{server.server_port}/{name}", width, shot)
                page.close()
                moved += sliders
                found += len(errors)
                for error in errors:
                    print(f"{name}, {width} px, {scheme}: {error}", flush=True)
            context.close()
        browser.close()
    print(f"{len(names)} pages at {len(SIZES)} sizes, {moved} sliders moved, {found} findings")
    return found


if __name__ == "__main__":
    shots = Path(sys.argv[3]) if "--shots" in sys.argv else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    sys.exit(1 if check(Path(sys.argv[1]).resolve(), shots) else 0)
