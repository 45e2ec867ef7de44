"""`radretrieval work`."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from radretrieval.cli.common import (
    AsJson,
    Device,
    EncoderId,
    bar,
    opened,
    print_json,
    stop_on_signals,
    tell,
    tell_failures,
)


def work(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="End when nothing is left, instead of waiting for more.")
    ] = False,
    device: Device = "auto",
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=4096, metavar="N", help="Images of one transaction.")
    ] = 64,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Decoding processes; default one a core."),
    ] = None,
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Encode the images that have no code yet. SIGTERM ends it after the batch."""
    from radretrieval.jobs.encode import EncodeOptions, encode, pending

    stop = threading.Event()
    stop_on_signals(stop)
    with opened(context) as (database, settings):
        if not once:
            tell("encoding what has no code, then waiting for more; Ctrl-C or SIGTERM ends it")
        total = pending(database, encoder) if once else None
        with bar("encode", total) as advance:
            options = EncodeOptions(once, device, batch, workers, encoder)
            report = encode(database, settings, options, advance=advance, stop=stop)
    document = {
        "encoded": report.encoded,
        "failed": report.failed,
        "seconds": round(report.seconds, 3),
        "images_per_second": round(report.images_per_second, 3),
        "failures": report.failures,
    }
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        key_values([(name, value) for name, value in document.items() if name != "failures"])
        tell_failures(report.failures)
    if report.left > 0:
        tell(
            f"{report.left} images still have no code: another worker holds them, or they came meanwhile; run it again"
        )
    if report.failed:
        raise typer.Exit(1)
