"""``calsweep dashboard``: a page on a folder of sweeps, live while they run."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import click

from calsweep.dashboards.web.memory import give_back_memory
from calsweep.dashboards.web.models.permission import read_permission
from calsweep.platform.commands import option

LOCAL = ("localhost", "127.0.0.1", "[::1]")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8360,
    show_default=True,
    help="Port to listen at; 0 for any that is free.",
)
@click.option(
    "--allow-promote",
    is_flag=True,
    help="Let who knows the token in CALSWEEP_PROMOTE_TOKEN promote and roll back from the page.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with that token, readable by its owner alone.",
)
@option.home
@option.tracking
def dashboard(
    host: str,
    port: int,
    allow_promote: bool,
    token_file: Path | None,
    home: Path,
    tracking_uri: str,
) -> None:
    """Open a page on the sweeps of a folder: what runs, which decoder wins, and whether it is real.

    The page only reads, unless --allow-promote is given. Who reaches the address sees every result,
    so it is this machine's own unless --host says otherwise; from elsewhere use
    `ssh -L 8360:127.0.0.1:8360`.
    """
    import uvicorn

    from calsweep.dashboards.web.site import site

    give_back_memory()
    permission = read_permission(token_file) if allow_promote else None
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"The sweeps of {home} are at http://{shown}:{port} (Ctrl-C ends it).")
    if not _is_local(host):
        click.echo(f"Who reaches {host} can read every result: there is no password.", err=True)
        if permission:
            click.echo("The token travels in clear text: tunnel through ssh instead.", err=True)
    app = site(
        home,
        hosts=LOCAL if _is_local(host) else ("*",),
        given_uri=tracking_uri,
        permission=permission,
    )
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ValueError(
            f"`--host` must be an address of this machine, but got {host!r}."
        ) from error
    listening = socket.socket(family, kind, proto)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise OSError(
            f"{host} port {port} cannot be listened at ({error.strerror}): give another `--port`, "
            "or 0 for any that is free."
        ) from error
    listening.listen()
    return listening


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
