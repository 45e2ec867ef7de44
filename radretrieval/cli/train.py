"""`radretrieval train`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, Device, bar, opened, print_json, tell, tell_failures


def train(
    context: typer.Context,
    profile: Annotated[str, typer.Option("--profile", metavar="NAME", help="The numbers of the method.")] = "paper",
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Learn the images of this split.")] = "train",
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, metavar="N", help="Passes over the images; default the profile's."),
    ] = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of weights, order and shifts.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train an encoder on the labelled images and store it; the first one becomes active."""
    from radretrieval.jobs.train import TrainOptions
    from radretrieval.jobs.train import train as run
    from radretrieval.profile import by_name

    options = TrainOptions(by_name(profile), split, epochs, device, seed)
    with opened(context) as (database, settings), bar("read and train", None) as shown:

        def advance(count: int, total: int, step: str) -> None:
            shown.set_total(total)
            shown(count, step)

        report = run(database, settings, options, advance=advance)
    if as_json:
        print_json(asdict(report))
    else:
        from radretrieval.report.table import key_values

        key_values([(name, value) for name, value in asdict(report).items() if name != "failures"])
        tell_failures(report.failures)
        if not report.active:
            tell(
                f"encoder {report.encoder_id} is not active: fill it with `radretrieval work --once --encoder "
                f"{report.encoder_id}`, then switch with `radretrieval encoder activate {report.encoder_id}`"
            )
    if report.failures:
        raise typer.Exit(1)
