"""A release takes its notes from the changelog, and refuses a tag that says another version."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT, VERSION = ".github/release_notes.py", "src/elman/version.py"


def test_the_notes_of_a_version_are_its_section(tmp_path):
    for name in (SCRIPT, VERSION):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    version = re.findall(r'"(\d+\.\d+\.\d+.*)"', (ROOT / VERSION).read_text("utf-8"))[0]

    def notes(tag: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, tmp_path / SCRIPT, tag]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    changes = f"# Changelog\n\n## [{version}] - 2026-01-01\n\n- This.\n\n## [0.0.1]\n\n- That.\n"
    (tmp_path / "CHANGELOG.md").write_text(changes, "utf-8")
    assert (notes(version).returncode, notes(version).stdout.strip()) == (0, "- This.")
    assert notes("9.9.9").stderr.strip() == f"{VERSION} says version {version}, the tag 9.9.9"
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n- It.\n", "utf-8")
    assert "has no section" in notes(version).stderr
