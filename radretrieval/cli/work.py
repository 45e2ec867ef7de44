"""`radretrieval work`."""

from __future__ import annotations

from typing import Annotated

import typer

from radretrieval.cli.common import (
    AsJson,
    Device,
    EncoderId,
    MetricsAddress,
    Workers,
    answering_prometheus,
    bar,
    opened,
    print_document,
    stop_on_signals,
    tell,
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
    workers: Workers = None,
    encoder: EncoderId = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.01, metavar="N", help="Images a second at most, so that searches stay fast."),
    ] = None,
    metrics_address: MetricsAddress = None,
    as_json: AsJson = False,
) -> None:
    """Encode the images that have no code yet. SIGTERM ends it after the batch.

    With --once the exact index is built afterwards, where there is none of these codes yet or one of far fewer.
    """
    stop = stop_on_signals()
    with answering_prometheus(metrics_address), opened(context) as archive, bar("encode") as progress:
        if not once:
            tell("encoding what has no code, then waiting for more; Ctrl-C or SIGTERM ends it", "service_ready")
        report = archive.encode(
            encoder=encoder,
            once=once,
            device=device,
            batch=batch,
            workers=workers,
            rate=rate,
            stop=stop,
            progress=progress,
        )
    document = {
        "encoded": report.encoded,
        "failed": report.failed,
        "seconds": round(report.seconds, 3),
        "images_per_second": round(report.images_per_second, 3),
        "failures": report.failures,
        "index_built": report.index_built,
    }
    print_document(document, as_json)
    if report.left > 0:
        tell(
            f"{report.left} images still have no code: another worker holds them, or they came meanwhile; run it again"
        )
    if report.failed and once:
        raise typer.Exit(1)
