"""Takes the pictures of the page that the README shows, from the home of the demo.

python -m tests.dashboards.screenshots [--home .calsweep] [--out dashboards/web/pictures]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calsweep.dashboards.web.sweep_list import sweep_names
from tests.dashboards.web.served import WAIT_MS, serving

CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1280, "height": 800}
MOST_BYTES = 200_000


def pictures(sweep: str) -> dict[str, tuple[str, str]]:
    """Name each picture and give the page and the element that it begins with."""
    at = f"/sweeps/{sweep}"
    return {
        "leaderboard": (at, "nav.top"),
        "folds": (f"{at}/folds", "#matrix"),
        "predictions": (f"{at}/predictions?span=600", "#decoded"),
    }


def shoot(home: Path, out: Path) -> None:
    from playwright.sync_api import sync_playwright

    demos = [name for name in sweep_names(home) if name.startswith("demo-")]
    if not demos:
        raise SystemExit(f"{home} has no sweep of the demo: `calsweep demo --home {home}`.")
    out.mkdir(parents=True, exist_ok=True)
    with serving(home) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(WAIT_MS)
        for name, (path, first) in pictures(demos[0]).items():
            page.goto(f"{address}{path}")
            for figure in page.locator("figure[data-source]").all():
                figure.scroll_into_view_if_needed()
                figure.and_(page.locator("[data-state=settled]")).wait_for()
            page.locator(first).evaluate("element => element.scrollIntoView()")
            page.mouse.move(0, 0)
            page.wait_for_timeout(500)  # what was hovered over fades out
            file = out / f"{name}.png"
            page.screenshot(path=file)
            n_bytes = file.stat().st_size
            print(f"{file}: {n_bytes:,} bytes")
            if n_bytes > MOST_BYTES:
                raise SystemExit(f"{file} has {n_bytes:,} bytes, above {MOST_BYTES:,}.")
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".calsweep"))
    parser.add_argument("--out", type=Path, default=Path("dashboards/web/pictures"))
    given = parser.parse_args()
    shoot(given.home, given.out)
