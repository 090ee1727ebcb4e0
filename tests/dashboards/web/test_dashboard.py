import socket

import pytest
from click.testing import CliRunner

from calsweep.dashboards.web.dashboard import dashboard


def run(*options):
    return CliRunner().invoke(dashboard, options).exception


def test_port_that_is_taken_is_told_with_the_way_out(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = run("--port", str(port), "--home", str(tmp_path))
    assert isinstance(error, OSError)
    assert f"127.0.0.1 port {port} cannot be listened at" in str(error)
    assert "give another `--port`, or 0" in str(error)


@pytest.mark.parametrize("host", ["no such host", "127.0.0.1.5"])
def test_host_that_is_none_is_told(tmp_path, host):
    error = run("--host", host, "--home", str(tmp_path))
    assert isinstance(error, ValueError)
    assert f"`--host` must be an address of this machine, but got {host!r}" in str(error)
