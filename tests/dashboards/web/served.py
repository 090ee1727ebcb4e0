"""The page as a person has it: the command in a process of its own, and a browser's page on it."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe

SHOTS = Path(os.environ.get("CALSWEEP_SHOTS", Path(tempfile.gettempdir()) / "calsweep-shots"))
ENDS_WITHIN_S = 60
WAIT_MS = 60_000
SERIOUS = {"serious", "critical"}


def serious(page):
    violations = Axe().run(page).response["violations"]
    return [
        (v["id"], [node["html"][:160] for node in v["nodes"][:3]])
        for v in violations
        if v["impact"] in SERIOUS
    ]


def is_too_wide(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def cut_off(page):
    """Texts of axes that reach beyond their figure, which hides the rest."""
    return page.evaluate("""[...document.querySelectorAll(".plot")].flatMap(plot => {
        const {left, right, top, bottom} = plot.getBoundingClientRect();
        return [...plot.querySelectorAll(".xtitle, .ytitle, .y2title, .xtick text, .ytick text")]
            .filter(text => {
                const box = text.getBoundingClientRect();
                return box.left < left - 1 || box.right > right + 1
                    || box.top < top - 1 || box.bottom > bottom + 1;
            }).map(text => text.textContent);
    })""")


def crowded(page):
    """Titles of x axes that stand where the names at its ticks do."""
    return page.evaluate("""[...document.querySelectorAll(".plot")].flatMap(plot =>
        [...plot.querySelectorAll("[class^=x][class$=title]")].filter(title => {
            const axis = title.getAttribute("class").replace("title", "");
            const {top} = title.getBoundingClientRect();
            return [...plot.querySelectorAll(`.${axis}tick text`)]
                .some(text => text.getBoundingClientRect().bottom > top + 1);
        }).map(title => `${plot.parentElement.id}: ${title.textContent}`))""")


@contextlib.contextmanager
def started(home, *options, **environment):
    """Run `calsweep dashboard` on a home and give its address and process."""
    command = [sys.executable, "-m", "calsweep.platform", "dashboard", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--home", str(home), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address, line + process.stdout.read()
        yield address.group(), process.pid
    finally:
        process.terminate()
        process.wait(timeout=ENDS_WITHIN_S)


@contextlib.contextmanager
def serving(home, *options, **environment):
    """Run `calsweep dashboard` on a home and give its address."""
    with started(home, *options, **environment) as (address, _):
        yield address


@dataclass
class Reader:
    """A browser's page that notes what a reader should never see."""

    page: object
    address: str
    said: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)

    def _note(self, request):
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.outside.append(request.url)

    def open(self, path="/"):
        answer = self.page.goto(f"{self.address}{path}")
        self.page.wait_for_load_state()
        return answer.status

    def draw_all(self):
        """Bring every figure into sight and wait until it is drawn or says why not."""
        names = self.page.eval_on_selector_all("figure[data-source]", "all => all.map(f => f.id)")
        for name in names:
            self.page.evaluate(
                "name => document.getElementById(name).scrollIntoView({behavior: 'instant'})", name
            )
            self.page.wait_for_selector(f'figure[id="{name}"][data-state="settled"]')
        return names

    def missing(self):
        return self.page.eval_on_selector_all(
            "figcaption.missing", "all => all.map(f => `${f.parentElement.id}: ${f.textContent}`)"
        )

    def drawn(self):
        return self.page.eval_on_selector_all(
            "figure:has(.plot-container)", "all => all.map(f => f.id)"
        )

    def narrow(self, name):
        """Show the page at the width of a phone, and give what does not fit."""
        self.page.set_viewport_size({"width": 390, "height": 800})
        self.page.wait_for_timeout(600)  # figures are drawn anew once the width has settled
        self.shoot(f"{name}-narrow")
        beyond = ["the page"] if is_too_wide(self.page) else []
        return [*beyond, *cut_off(self.page), *crowded(self.page)]

    def darken(self, name):
        """Show the page in the dark."""
        self.page.emulate_media(color_scheme="dark")
        self.page.wait_for_timeout(600)
        self.shoot(f"{name}-dark")

    def shoot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def wait_until(self, holds, what, *, within_s=WAIT_MS / 1000):
        """Wait for something that the page does by itself."""
        end = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end, f"waited {within_s} s for {what}"
            self.page.wait_for_timeout(100)
