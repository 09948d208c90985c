"""Opens every page of the built site in a headless browser, and says what is wrong with it.

    make docs-check

Each page is opened as wide as a desktop and as narrow as a phone. It must load everything, from
this site alone, log no error, show all its pictures and not be wider than the screen. A figure that
runs in the page must show the numbers that the build computed in float64. Every link must lead to a
page, and to a place on it. axe-core judges whether everybody can read it (axe.py). Modules of
figures must be small, and so must the start page: all that a browser loads to show it, each file
compressed as servers do. The search has to find something, though its index comes later, when
somebody looks.
"""

import contextlib
import functools
import gzip
import http.server
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import axe
from playwright.sync_api import Page, Response, TimeoutError, sync_playwright

SITE = Path(__file__).parents[1] / "site"
WIDTHS = {"desktop": 1280, "phone": 390}
MODULE = 150_000  # bytes of a module with its network
NEAR = 1e-5  # float32 and float64 of a figure's numbers
FIGURES = """[...document.querySelectorAll("[data-live]")].map((place) => [
  place.dataset.live,
  "ready" in place.dataset,
  [...place.querySelectorAll("[data-value]")].map((it) => Number(it.dataset.value)),
])"""
FIRST = 150_000  # bytes of the start page and all that it loads, compressed as servers do
BROWSERS = "chromium", "chromium-browser", "google-chrome"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, while it is served."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Places(HTMLParser):
    """The links of a page, and the names of its places."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a link or an id."""
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")


def broken_links(pages: list[str]) -> Iterator[str]:
    """What links lead to nothing; a page is its path in the site."""
    places = {page: Places((SITE / page).read_text("utf-8")) for page in pages}
    for page, own in places.items():
        for link in set(own.links):
            path, place = urldefrag(urljoin(f"http://site/{page}", link))
            if not path.startswith("http://site/"):
                continue
            target = unquote(path.removeprefix("http://site/"))
            target += "index.html" if target.endswith("/") or not target else ""
            if not (SITE / target).is_file():
                yield f"{page}: {link} leads to no file"
            elif place and target in places and unquote(place) not in places[target].ids:
                yield f"{page}: {link} leads to no place on that page"


def wrong_figures(page: Page) -> Iterator[str]:
    """Which figures of an opened page do not run, or show other numbers than the build's."""
    with contextlib.suppress(TimeoutError):
        page.wait_for_function(f"{FIGURES}.every(([, ready]) => ready)", timeout=10_000)
    for name, ready, shown in page.evaluate(FIGURES):
        path = SITE / "live" / "models" / f"{name}.json"
        expected = json.loads(path.read_text("utf-8"))["shown"]
        if not ready:
            yield f"the figure {name} does not run"
        elif len(shown) != len(expected):
            yield f"the figure {name} shows {len(shown)} numbers, expected {len(expected)}"
        elif (most := max(abs(a - b) for a, b in zip(shown, expected, strict=True))) > NEAR:
            yield f"the figure {name} shows a number that is {most:.2g} off"


def faults(page: Page, root: str, path: str) -> Iterator[str]:
    """What is wrong with a page, opened in the browser."""
    found: list[str] = []
    page.on(
        "console", lambda it: found.append(it.text) if it.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda request: found.append(f"{request.url} failed"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith((root, "data:", "blob:"))
            or found.append(f"{request.url} is elsewhere")
        ),
    )
    page.goto(root + path, wait_until="load")
    found += page.evaluate(
        "[...document.images].filter(it => !it.naturalWidth).map(it => `no picture: ${it.src}`)"
    )
    found += wrong_figures(page)
    for name, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if over > 0:
            found.append(f"{over} pixels wider than a {name}'s screen")
    yield from found


def weight(page: Page, root: str) -> int:
    """The bytes of the start page and all that it loads, compressed."""
    responses: list[Response] = []
    # playwright marks what it calls, and a built-in method cannot be marked.
    page.on("response", lambda response: responses.append(response))  # noqa: PLW0108
    page.goto(root + "index.html", wait_until="networkidle")
    return sum(len(gzip.compress(response.body())) for response in responses)


def finds(page: Page, root: str) -> bool:
    """Whether the search finds a page whose index is loaded when it is used."""
    page.goto(root + "index.html", wait_until="networkidle")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.click('[data-md-component="search-query"]')
    page.keyboard.type("recurrent")
    with contextlib.suppress(TimeoutError):
        return page.wait_for_selector(".md-search-result__item", timeout=20_000) is not None
    return False


def main() -> int:
    """Check every page, and print what is wrong."""
    browser_path = os.environ.get("BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), "")
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    pages = [page for page in pages if not page.endswith("404.html")]
    wrong = list(broken_links(pages))
    large = [path for path in SITE.rglob("*.wasm") if path.stat().st_size > MODULE]
    wrong += [f"{path.relative_to(SITE)}: more than {MODULE} bytes" for path in large]
    axe_source = axe.script()
    with served(SITE) as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path or None, args=["--no-sandbox"]
        )
        for path in pages:
            page = browser.new_page()
            wrong += [f"{path}: {fault}" for fault in faults(page, root, path)]
            wrong += [f"{path}: {fault}" for fault in axe.violations(page, axe_source)]
            page.close()
        bytes_ = weight(browser.new_page(), root)
        found = finds(browser.new_page(), root)
        browser.close()
    if bytes_ > FIRST:
        wrong.append(f"index.html: {bytes_} bytes, more than {FIRST}")
    if not found:
        wrong.append("index.html: the search finds nothing")
    print(*wrong, f"{len(pages)} pages, {len(wrong)} faults; start page {bytes_} bytes", sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
