"""A headless Chromium that looks at a web UI as a person does, and hears what goes wrong in its pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def page(problems: list[str]) -> "Iterator[Page]":
    """A page of a new browser; skips the test where Playwright or Chromium is missing.

    Args:
        problems: gets a line for each exception in a page, each error in its console, and each answer of a server with
            an error.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser's tests need Playwright: make test")
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    if binary is None:
        pytest.skip(f"the browser's tests need Chromium: none of {', '.join(_NAMES)} is on the PATH")
    with playwright.sync_playwright() as running:
        # As root, and in a container, Chromium's sandbox can't be set up; the pages are our own.
        browser = running.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        try:
            # What moves costs the machine that the run needs.
            opened = browser.new_page(viewport={"width": 1500, "height": 1000}, reduced_motion="reduce")
            _listen(opened, problems)
            yield opened
        finally:
            browser.close()


def _listen(page: "Page", problems: list[str]) -> None:
    def console(message: Any) -> None:
        if message.type == "error":
            problems.append(f"console of {page.url}: {message.text}")

    def response(answer: Any) -> None:
        if answer.status >= 400:
            problems.append(f"{answer.status} of {answer.url}")

    page.on("pageerror", lambda error: problems.append(f"exception on {page.url}: {error}"))
    page.on("console", console)
    page.on("response", response)
