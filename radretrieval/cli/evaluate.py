"""`radretrieval evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import radretrieval as rr
from radretrieval.cli.common import AsJson, Device, bar, check_output, opened, print_json, tell, tell_failures


def evaluate(
    context: typer.Context,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="The queries.")] = "test",
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="A split that is searched; may be repeated; `all` is everything. Default train.",
        ),
    ] = None,
    encoder: Annotated[
        list[int] | None,
        typer.Option(
            "--encoder",
            min=1,
            max=2**31 - 1,
            metavar="ID",
            help="Whose rankings; may be repeated. Default the active one and the newest of each other profile.",
        ),
    ] = None,
    rule: Annotated[
        Literal["imageclef", "paper"],
        typer.Option("--rule", help="imageclef: hierarchical, 0 to 1 an image; paper: Eq. 1, literally."),
    ] = "imageclef",
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="A B",
            help="Test two rankings pair by pair; each an encoder (2), a way of ranking (cnnc+rbc, real+rbc, cnnc, "
            "rbc, softmax) or both (2:cnnc). If given several times, the last counts.",
        ),
    ] = None,
    withdrawn: Annotated[
        bool, typer.Option("--withdrawn", help="Also count images whose label was withdrawn.")
    ] = False,
    network: Annotated[
        bool,
        typer.Option(
            "--network/--no-network",
            help="Also the rankings that need the network: softmax, no binarization. They read every file again.",
        ),
    ] = True,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="PNG", help="Write the confusions on each axis, and answers right and wrong."
        ),
    ] = None,
    hits: Annotated[
        Path | None,
        typer.Option("--csv", metavar="CSV", help="Write every query with its hits in each ranking, and their errors."),
    ] = None,
    reliability: Annotated[
        Path | None,
        typer.Option("--reliability", metavar="PNG", help="Write how many hits are right for each stated probability."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score the first hit of every labelled image of a split, by every way of ranking, beside the published errors."""
    check_output(picture, ".png", "picture")
    check_output(hits, ".csv", "list of hits")
    check_output(reliability, ".png", "picture")
    with opened(context) as archive:
        with bar("evaluate") as progress:
            result = archive.evaluate(
                split=split,
                against=against or ["train"],
                encoders=encoder or (),
                rule=rule,
                compare=compare,
                withdrawn=withdrawn,
                network=network,
                device=device,
                progress=progress,
            )
        _write(archive, result, picture, hits, reliability)
    if as_json:
        print_json(result.document())
    else:
        from radretrieval.report.evaluation_tables import print_evaluation

        print_evaluation(result)
    for note in result.notes:
        tell(f"note: {note}")
    tell_failures(result.failures)
    if result.failures or result.uncoded:
        raise typer.Exit(1)


def _write(
    archive: rr.Archive, result: rr.Evaluation, picture: Path | None, hits: Path | None, reliability: Path | None
) -> None:
    """Write the files that were asked for."""
    if hits is not None:
        from radretrieval.report.evaluation_csv import write_evaluation_csv

        write_evaluation_csv(hits, result)
    if picture is not None:
        from radretrieval.report.evaluation_picture import write_evaluation_picture

        write_evaluation_picture(picture, result, archive.settings)
    if reliability is not None and result.reliability is not None:
        from radretrieval.report.reliability_picture import write_reliability

        write_reliability(reliability, result.reliability, f"Probabilities of encoder {result.runs[0].encoder.id}")
    elif reliability is not None:
        tell("--reliability: this encoder states no probabilities, and no picture is written")
