"""`radretrieval train`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import (
    AsJson,
    Device,
    bar,
    check_output,
    not_active,
    opened,
    print_document,
    tell,
    tell_failures,
)

EACH_EPOCH = ("losses", "accuracies", "held_out_losses", "held_out_accuracies")  # too much for a table


def train(
    context: typer.Context,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="strong, paper or paper-96; default the active encoder's, or strong without one.",
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Learn the images of this split.")] = "train",
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, metavar="N", help="Passes over the images; default the profile's."),
    ] = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of weights, order and shifts.")] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="EfficientNet-lite0 weights (safetensors) that `strong` starts from; default the extra `strong`.",
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Begin anew, and do not go on where the same training was interrupted."),
    ] = False,
    curve: Annotated[
        Path | None,
        typer.Option("--curve", metavar="PNG", help="Write loss and accuracy of each epoch as a picture."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train an encoder on the labelled images and store it; the first one becomes active.

    An interrupted training goes on where it was when the same command is given again. With -v each epoch's loss and
    accuracy are logged.
    """
    check_output(curve, ".png", "picture")
    with opened(context) as archive, bar("read and train") as progress:
        report = archive.train(
            profile=profile,
            split=split,
            epochs=epochs,
            device=device,
            seed=seed,
            weights=weights,
            restart=restart,
            progress=progress,
        )
    if curve is not None:
        from radretrieval.report.training_curve import training_curve

        training_curve(curve, report)
    document = asdict(report)
    if not as_json:
        total = sum(report.stages.values()) or 1.0  # none where all was learnt before an interruption
        document["stages"] = ", ".join(f"{stage} {took / total:.1%}" for stage, took in report.stages.items())
    print_document(document, as_json, without=EACH_EPOCH)
    if not as_json:
        tell_failures(report.failures)
        if not report.active:
            tell(not_active(report.encoder_id))
    if report.failures:
        raise typer.Exit(1)
