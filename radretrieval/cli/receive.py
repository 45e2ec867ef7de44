"""`radretrieval receive`."""

from __future__ import annotations

import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, opened, print_json, stop_on_signals, tell, tell_failures, tell_problems
from radretrieval.errors import UsageError


def receive(
    context: typer.Context,
    title: Annotated[
        str, typer.Option("--ae-title", metavar="AET", help="The AE title of this node; callers must name it.")
    ] = "RADRETRIEVAL",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where it listens; 0: any free port.")] = 11112,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Listen on this address of the machine only; default all.")
    ] = "",
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer",
            metavar="AET[@HOST]",
            help="Who may send, from any host or this name, address or "
            "network; may be repeated. Without peers everyone may.",
        ),
    ] = None,
    peers: Annotated[
        Path | None, typer.Option("--peers", metavar="FILE", help="The same, one a line; # begins a comment.")
    ] = None,
    any_called: Annotated[
        bool, typer.Option("--any-called", help="Let callers in that call this node by another AE title.")
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="PEM", help="Certificate of this node: TLS only, from 1.2 on.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="PEM", help="Its key, if that is in another file.")
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option("--tls-ca", metavar="PEM", help="Callers must have a certificate that one of these signed."),
    ] = None,
    max_associations: Annotated[
        int, typer.Option("--max-associations", min=1, metavar="N", help="At one time; more are told to come later.")
    ] = 50,
    idle_seconds: Annotated[
        float, typer.Option("--idle-seconds", min=1, help="An association that is silent for so long is ended.")
    ] = 60.0,
    all_classes: Annotated[
        bool,
        typer.Option("--all-classes", help="Take every storage class, instead of those of projection radiography."),
    ] = False,
    intake: Annotated[
        bool, typer.Option("--intake/--no-intake", help="Make images of what arrives, or leave it to another process.")
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Decoding processes; default one a core."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Be a DICOM node: take what is sent by C-STORE, and make images of it. SIGTERM or Ctrl-C ends it in order.

    A file is answered with success once it is on the disk and told of in the archive; the senders learn why else.
    """
    from radretrieval.dicom.address import check_title
    from radretrieval.dicom.scp.access import read_peers
    from radretrieval.dicom.scp.server import ScpConfig
    from radretrieval.dicom.scp.service import receive as run
    from radretrieval.dicom.scp.tls import server_context
    from radretrieval.dicom.sop_classes import storage_classes

    if tls_cert is None and (tls_key or tls_ca):
        raise UsageError("--tls-key and --tls-ca go with --tls-cert, the certificate of this node")
    config = ScpConfig(
        title=check_title(title, "--ae-title"),
        host=host,
        port=port,
        sop_classes=storage_classes(all_classes),
        peers=read_peers(peer or [], peers),
        any_title=any_called,
        tls=server_context(tls_cert, tls_key, tls_ca) if tls_cert else None,
        max_associations=max_associations,
        idle_seconds=idle_seconds,
    )
    stop = threading.Event()
    stop_on_signals(stop)

    def ready(listens: int) -> None:
        secured = " with TLS" if config.tls else ""
        who = "" if config.peers else "; anyone may send, --peer or --peers say who"
        tell(f"{config.title} listens on {config.host or '*'}:{listens}{secured}{who}; Ctrl-C or SIGTERM ends it")

    with opened(context) as (database, settings):
        report = run(database, settings, config, stop, intake=intake, workers=workers, ready=ready)
    document = asdict(report)
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        key_values([(name, document[name]) for name in ("added", "unchanged", "failed")])
        tell_failures(report.failures)
    tell_problems(report.problems)
