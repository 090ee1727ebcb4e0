"""Debian's Chromium, and the page on the record of a finished sweep."""

import contextlib
from pathlib import Path

import pytest

from tests.dashboards.web.served import Reader, serving

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def chromium():
    if not CHROMIUM.exists():
        pytest.skip(f"needs a browser at {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def reader(chromium):
    """Give a function that opens a browser's page on an address."""
    with contextlib.ExitStack() as held:

        def begin(address, **options):
            context = chromium.new_context(
                **{"viewport": {"width": 1100, "height": 900}, **options}
            )
            held.callback(context.close)
            return Reader(page=context.new_page(), address=address)

        yield begin


@pytest.fixture(scope="session")
def finished_home(sweep):
    """Give the home of a finished sweep."""
    return sweep.folder.parent.parent


@pytest.fixture(scope="session")
def address(finished_home):
    """Give the address of the page on a finished sweep."""
    with serving(finished_home) as served:
        yield served
