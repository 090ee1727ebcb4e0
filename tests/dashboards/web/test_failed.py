"""What nobody foresaw is told on the page, and its trace where the page was started."""

import contextlib
import socket
import threading

import uvicorn
from starlette.requests import Request

from calsweep.dashboards.web import plates, view
from calsweep.dashboards.web.answer import failed
from calsweep.dashboards.web.site import site
from tests.dashboards.web.served import ENDS_WITHIN_S, serious


@contextlib.contextmanager
def served_here(home):
    """Serve a home from this process, so that a test can break what is served."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = site(home, hosts=("127.0.0.1",))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(ENDS_WITHIN_S)


def test_unforeseen_error_is_told_with_what_to_do(finished_home, reader, monkeypatch, caplog):
    def break_down(*_):
        raise RuntimeError("<b>no unit</b>\nsecond line")

    told = "RuntimeError: <b>no unit</b>"
    monkeypatch.setitem(view.VIEWS, "data", break_down)
    monkeypatch.setattr(plates, "draw", break_down)
    with served_here(finished_home) as address:
        here = reader(address)
        assert here.open("/sweeps/tiny/data") == 500
        assert here.page.locator("#missing").inner_text() == told
        said = here.page.locator("main").inner_text()
        assert "Reload the page" in said
        assert "the full trace is in the terminal of calsweep dashboard" in said
        policy = here.page.request.get(f"{address}/sweeps/tiny/data").headers
        assert policy["content-security-policy"].startswith("default-src 'none'")
        assert serious(here.page) == []
        assert here.narrow("failed") == []
        assert here.open("/sweeps/tiny/folds") == 200
        names = here.draw_all()
        where = "(the terminal of `calsweep dashboard` shows where)"
        assert here.missing() == [f"{name}: {told} {where}" for name in names]
        assert all("status of 500" in line for line in here.said)  # the browser's own words
        assert here.outside == []
    traces = [record.exc_info for record in caplog.records if record.name == "uvicorn.error"]
    assert any(trace and trace[0] is RuntimeError for trace in traces)


def test_login_of_an_address_is_not_told():
    uri = "http://me:secret@lab.org/"
    request = Request({"type": "http", "path": "/", "headers": [(b"accept", b"application/json")]})
    answer = failed(request, RuntimeError(f"no answer from {uri}"), uri=uri)
    assert answer.status_code == 500
    assert b"RuntimeError: no answer from http://lab.org/ (" in answer.body
