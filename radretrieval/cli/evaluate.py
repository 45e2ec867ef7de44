"""`radretrieval evaluate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, Device, bar, opened, print_json, tell, tell_failures


class Rule(StrEnum):
    """How wrong an answer is."""

    imageclef = "imageclef"
    paper = "paper"


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
        Rule, typer.Option("--rule", help="imageclef: hierarchical, 0 to 1 an image; paper: Eq. 1, literally.")
    ] = Rule.imageclef,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="A B",
            help="Test two rankings pair by pair; each an encoder (2), a way of ranking (cnnc+rbc, real+rbc, cnnc, "
            "rbc, softmax) or both (2:cnnc). Once; of several the last counts.",
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
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score the first hit of every labelled image of a split, by every way of ranking, beside the published errors."""
    from radretrieval.evaluation import EvaluationOptions
    from radretrieval.evaluation import evaluate as run
    from radretrieval.files.output import check_output

    for target, suffix, what in ((picture, ".png", "picture"), (hits, ".csv", "list of hits")):
        if target is not None:
            check_output(target, suffix, what)
    options = EvaluationOptions(
        split=split,
        against=tuple(against or ["train"]),
        encoder_ids=tuple(encoder or ()),
        rule=rule.value,
        withdrawn=withdrawn,
        network=network,
        compare=compare,
        device=device,
    )
    with opened(context) as (database, settings):
        with bar("evaluate", None) as advance:
            result = run(database, settings, options, advance=advance)
        if hits is not None:
            from radretrieval.report.evaluation_csv import write_evaluation_csv

            write_evaluation_csv(hits, result)
        if picture is not None:
            from radretrieval.report.evaluation_picture import write_evaluation_picture

            write_evaluation_picture(picture, result, settings.reading)
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
