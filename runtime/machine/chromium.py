"""The browser that verifies pages of `cyclegan export --to web`."""

import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
BUNDLES = (Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),)
VERSION_SECONDS = 20.0


def find_chromium() -> str | None:
    """Return the path of a Chromium or one of its kin; None where there is none."""
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    return on_path or next((str(path) for path in BUNDLES if path.exists()), None)


def chromium_version(path: str) -> str:
    """Return what a browser calls itself, such as "Chromium 156.0.8078.108"; on Windows its path, for asking opens it.

    Raises:
        OSError, subprocess.SubprocessError: it does not start.
    """
    if sys.platform == "win32":
        return path
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True)
    return " ".join(done.stdout.split()[:2]) or path
