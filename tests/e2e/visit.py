"""A tab of the browser that remembers what went wrong and whom it asked."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Dialog, Page

WIDTH, HEIGHT = 1440, 900
PATIENCE_MS = 60_000
"""How long something may take on a machine that has other things to do, too."""


class Visit:
    """A tab in a profile of its own; ``options`` are those of a Playwright context (time zone, scripts off).

    Attributes:
        complaints: what the console said and what scripts threw; violations of the content policy, too.
        asked: origins that the page asked for anything.
    """

    def __init__(self, browser: Browser, url: str, *, width: int = WIDTH, **options: Any) -> None:
        self._context = browser.new_context(
            base_url=url, viewport={"width": width, "height": HEIGHT}, **options
        )
        self._context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.add("/".join(request.url.split("/")[:3])))
        self.page.on("dialog", self._refuse)

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def another(self) -> Page:
        """A second tab of the same person."""
        return self._context.new_page()

    def close(self) -> None:
        """Close all tabs."""
        self._context.close()
