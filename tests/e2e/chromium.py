"""Where Chromium is. ``python -m tests.e2e.chromium`` looks for one, or has Playwright fetch its own, and
says what came of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL_SECONDS = 300
MISSING = "needs Chromium: apt-get install chromium, or playwright install --with-deps chromium"


@cache
def find() -> str | None:
    """Path of a Chromium: on the PATH, else the one that Playwright has fetched."""
    on_path = next((found for name in NAMES if (found := shutil.which(name))), None)
    return on_path or _fetched()


def _fetched() -> str | None:
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> str:
    """Have Playwright fetch one; returns why it could not, or nothing."""
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {INSTALL_SECONDS} s"
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else said[-1] if said else f"exit status {done.returncode}"


def main() -> None:
    """Find or fetch one, and say so."""
    why = "" if find() else install()
    find.cache_clear()
    found = find()
    sys.stdout.write(
        f"browser tests: {found}\n" if found else f"browser tests are skipped: {MISSING} ({why})\n"
    )


if __name__ == "__main__":
    main()
