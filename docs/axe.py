"""What axe-core, the usual checker of accessibility, says of a page in the browser.

It judges contrast, alternative texts, labels, headings, tables and more, by the rules of WCAG. npm
fetches it on the first check, into the environment: it is used here only, and not part of the site.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page

VERSION = "4.14.1"
FOLDER = Path(sys.prefix) / "axe"
SCRIPT = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = "serious", "critical"  # the impacts that fail the check; axe-core has two milder ones
#: What is run on a page: its name, the colours, the width, and axe-core's options.
RUNS = (
    ("desktop", "light", 1280, {}),
    ("dark desktop", "dark", 1280, {"runOnly": ["color-contrast"]}),
    ("phone", "light", 390, {"rules": {"color-contrast": {"enabled": False}}}),
)
SCHEMES = {"light": "default", "dark": "slate"}  # the theme's names of the colours
STILL = "*, ::before, ::after { transition: none !important; animation: none !important; }"
RUN = """async options => {
    const {violations} = await axe.run(document, {resultTypes: ["violations"], ...options});
    return violations.map(({id, impact, help, nodes}) => ({
        id, impact, help, count: nodes.length, html: nodes[0].html, why: nodes[0].failureSummary,
    }));
}"""


def script() -> str:
    """The source of axe-core, which npm fetches unless it is there in this version."""
    package = SCRIPT.with_name("package.json")
    if not package.is_file() or f'"version": "{VERSION}"' not in package.read_text("utf-8"):
        npm = shutil.which("npm")
        fetch = ["install", "--no-audit", "--no-fund", "--prefix", f"{FOLDER}"]
        fetch.append(f"axe-core@{VERSION}")
        if npm is None or subprocess.run([npm, *fetch], check=False).returncode:
            sys.exit(
                f"the check needs axe-core {VERSION}, which npm fetches: install npm (Debian: "
                f"apt-get install npm), or on a machine without a network run `npm "
                f"{' '.join(fetch)}` elsewhere, and copy the folder"
            )
    return SCRIPT.read_text("utf-8")


def violations(page: Page, source: str) -> Iterator[str]:
    """What is gravely wrong with an open page, for those who do not see or click as most do."""
    page.evaluate(source)
    page.add_style_tag(content=STILL)  # a colour in transition would be judged
    for name, colours, width, options in RUNS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=colours)
        page.wait_for_selector(f'body[data-md-color-scheme="{SCHEMES[colours]}"]')
        page.wait_for_timeout(100)  # the page's scripts answer to its new size
        for found in page.evaluate(RUN, options):
            if found["impact"] in GRAVE:
                yield (
                    f"{name}: {found['help']} ({found['id']}, {found['impact']}, "
                    f"{found['count']} times); first {found['html'][:200]!r}: "
                    f"{' '.join(found['why'].split())[:300]}"
                )
