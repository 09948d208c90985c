"""Prints the changelog's section of a version: ``python .github/release_notes.py 1.2.3``.

Fails if the package has another version or the changelog no such section.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def notes(version: str) -> str:
    """The section's text, without its heading."""
    source = (ROOT / "src" / "elman" / "version.py").read_text("utf-8")
    found = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    if found is None or found[1] != version:
        sys.exit(f"src/elman/version.py says version {found and found[1]}, the tag {version}")
    sections = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    for section in sections[1:]:
        heading, _, text = section.partition("\n")
        if heading.startswith(f"[{version}]") and text.strip():
            return text.strip()
    sys.exit(f"CHANGELOG.md has no section [{version}] with a text")


if __name__ == "__main__":
    print(notes(sys.argv[1]))
