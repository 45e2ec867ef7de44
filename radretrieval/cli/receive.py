"""`radretrieval receive`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import radretrieval as rr
from radretrieval.cli.common import (
    AsJson,
    Issuer,
    MetricsAddress,
    Workers,
    answering_prometheus,
    opened,
    print_document,
    stop_on_signals,
    tell,
    tell_failures,
    tell_problems,
)


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
        bool, typer.Option("--any-called", help="Accept callers that use another called AE title.")
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
        int,
        typer.Option(
            "--max-associations", min=1, metavar="N", help="Associations at a time; further ones are rejected for now."
        ),
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
    issuer: Issuer = None,
    workers: Workers = None,
    metrics_address: MetricsAddress = None,
    as_json: AsJson = False,
) -> None:
    """Be a DICOM node: take what is sent by C-STORE, and make images of it. SIGTERM or Ctrl-C ends it in order.

    A file is answered with success once it is on the disk and its row is committed, else with the reason.
    """
    with answering_prometheus(metrics_address), opened(context) as archive:
        report = archive.receive(
            ae_title=title,
            port=port,
            host=host,
            peers=peer or (),
            peers_file=peers,
            any_called=any_called,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_ca=tls_ca,
            max_associations=max_associations,
            idle_seconds=idle_seconds,
            all_classes=all_classes,
            intake=intake,
            issuer=issuer,
            workers=workers,
            stop=stop_on_signals(),
            on_ready=_ready,
        )
    print_document(asdict(report), as_json, only=("added", "unchanged", "updated", "forgotten", "failed"))
    if not as_json:
        tell_failures(report.failures)
    tell_problems(report.problems)


def _ready(config: rr.ScpConfig, port: int) -> None:
    secured = " with TLS" if config.tls else ""
    who = "" if config.peers else "; anyone may send, --peer or --peers say who"
    listens = f"{config.title} listens on {config.host or '*'}:{port}{secured}{who}"
    tell(f"{listens}; Ctrl-C or SIGTERM ends it", "service_ready")
