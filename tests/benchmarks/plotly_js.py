"""How long a page answers to nothing while a browser compiles Plotly: all of it, and our part.

    python -m tests.benchmarks.plotly_js [--rounds 3]

The browser is started as a reader starts it, without an inspector, which would slow it, and each
time with an empty profile; the page itself measures and says.
"""

import argparse
import contextlib
import http.server
import json
import queue
import subprocess
import tempfile
import threading
from urllib.parse import unquote, urlsplit

from plotly.offline import get_plotlyjs

from calsweep.dashboards.page import plotly_js
from tests.dashboards.web.conftest import CHROMIUM

WITHIN_S = 60
PAGE = """<!doctype html><script>
let longest = 0;
new PerformanceObserver((list) => {
  for (const {duration} of list.getEntries()) longest = Math.max(longest, duration);
}).observe({type: "longtask"});
addEventListener("load", () => {
  const script = document.createElement("script");
  script.src = "plotly.js";
  script.onload = () => setTimeout(() => fetch("/said?" + longest), 500);
  document.head.append(script);
});
</script>"""


def longest_stop_ms(script: str) -> float:
    """Give the longest task of a browser that loads a script on an empty page, milliseconds."""
    said: queue.Queue[float] = queue.Queue()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path == "/said":
                said.put(float(json.loads(unquote(asked.query))))
            is_script = asked.path == "/plotly.js"
            self.send_response(200)
            self.send_header("content-type", "text/javascript" if is_script else "text/html")
            self.end_headers()
            self.wfile.write((script if is_script else PAGE).encode())

        def log_message(self, *_: object) -> None:
            pass

    with contextlib.ExitStack() as held:
        server = held.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        held.callback(server.shutdown)
        profile = held.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        options = ["--headless", "--no-sandbox", "--disable-dev-shm-usage"]
        browser = subprocess.Popen(
            [
                CHROMIUM, *options, f"--user-data-dir={profile}", "--remote-debugging-port=0",
                f"http://127.0.0.1:{server.server_port}/",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        held.callback(browser.wait, WITHIN_S)
        held.callback(browser.terminate)
        return said.get(timeout=WITHIN_S)


def main() -> None:
    """Measure one after the other, several times, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print("| | MB | longest stop, s |\n|---|---|---|")
    scripts = {"all of Plotly": get_plotlyjs(), "the part that figures are made of": plotly_js()}
    stops: dict[str, list[float]] = {name: [] for name in scripts}
    for _ in range(given.rounds):
        for name, script in scripts.items():
            stops[name].append(longest_stop_ms(script) / 1000)
    for name, script in scripts.items():
        took = ", ".join(f"{stop:.2f}" for stop in stops[name])
        print(f"| {name} | {len(script.encode()) / 1e6:.1f} | {took} |")


if __name__ == "__main__":
    main()
