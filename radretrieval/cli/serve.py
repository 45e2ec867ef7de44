"""`radretrieval serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import MetricsAddress, answering_prometheus, tell
from radretrieval.errors import EnvironmentUnusable


def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="Where it listens; default 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Its port; default 8000; 0: any free port.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="PEM", help="Certificate: TLS only, from 1.2 on.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="PEM", help="Its key, if that is in another file.")
    ] = None,
    metrics_address: MetricsAddress = None,
) -> None:
    """Serve the page and the HTTP API of the archive. SIGTERM or Ctrl-C ends it in order.

    On 127.0.0.1 nobody has to log in; any other address needs a login, which settings name (docs/serve.md).
    """
    from radretrieval.api.base import make_serve_settings, make_settings

    options = make_serve_settings(host=host, port=port, tls_cert=tls_cert, tls_key=tls_key)
    try:
        from radretrieval.serve.run import run
    except ImportError as error:
        raise EnvironmentUnusable(f"serve needs {error.name}: pip install 'radretrieval[serve]'") from None
    with answering_prometheus(metrics_address):
        run(make_settings(database_url=context.obj), options, _ready)


def _ready(url: str) -> None:
    tell(f"the page is at {url}; Ctrl-C or SIGTERM ends it", "service_ready")
