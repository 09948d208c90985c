"""Modules for web pages in Node and Chromium."""

import contextlib
import http.server
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from elman.artefact.linking import find_linker

WEB = Path(__file__).parent / "web"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)

needs_linker = pytest.mark.skipif(find_linker() is None, reason="needs wasm-ld")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


def node(script: str, *arguments: object, given: Any = None) -> Any:
    """What a script of the folder ``web`` prints as JSON."""
    done = subprocess.run(
        ["node", WEB / script, *map(str, arguments)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def play(folder: Path, name: str = "own", source: str = "", **given: Any) -> Any:
    """What streams make of ``x``, a flat list, in Node."""
    given = {"source": source or str(folder / f"{name}.wasm"), "further": {}, "x": [], **given}
    return node("play.mjs", given={"script": (folder / f"{name}.js").as_uri(), **given})


@contextlib.contextmanager
def served(
    folder: Path, types: Mapping[str, str] | None = None, posts: Any = None
) -> Iterator[str]:
    """A folder at an address, by the server of ``python -m http.server``. A queue gets what pages
    post."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {  # noqa: RUF012
            **http.server.SimpleHTTPRequestHandler.extensions_map,
            **(types or {}),
        }

        def do_POST(self) -> None:
            posts.put(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def page(url: str, profile: Path) -> str:
    """The text of a page's document in Chromium, after its scripts have run."""
    command = [*_chromium(profile), "--virtual-time-budget=5000", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def posted(folder: Path, name: str, profile: Path) -> Any:
    """The JSON that a page in Chromium posts, with the clock as it is."""
    posts = queue.Queue[str]()
    with served(folder, posts=posts) as url:
        command = [*_chromium(profile), "--remote-debugging-port=0", f"{url}/{name}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            try:
                return json.loads(posts.get(timeout=60))
            finally:
                run.terminate()


def _chromium(profile: Path) -> list[str]:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    return [str(CHROMIUM), *flags, f"--user-data-dir={profile}"]
