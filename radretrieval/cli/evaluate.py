"""`radretrieval evaluate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, Device, EncoderId, bar, opened, print_json, tell


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
    encoder: EncoderId = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score the first hit of every labelled image of a split by ImageCLEF's error, with ablations."""
    from radretrieval.evaluation import evaluate as run

    with opened(context) as (archive, settings), bar("rank", None) as advance:
        result = run(
            archive,
            settings,
            split=split,
            against=against or ["train"],
            encoder_id=encoder,
            device=device,
            advance=advance,
        )
    if as_json:
        print_json(asdict(result))
        return
    from radretrieval.report.table import table

    table(
        ["ranking", "error (sum)", "first hit right"],
        [
            [name, f"{error:.2f}", f"{accuracy:.1%}"]
            for name, error, accuracy in [
                ("CNNC + RBC", result.error_score, result.first_hit_accuracy),
                *((row.name, row.error_score, row.first_hit_accuracy) for row in result.ablations),
            ]
        ],
        title=f"{result.queries} queries of {split} against {result.against} images, encoder {result.encoder_id}",
    )
    low, high = result.ci95
    axes = ", ".join(f"{axis} {value:.4f}" for axis, value in result.axes.items())
    print(
        f"error per image {result.error_per_image:.4f} (axes {axes}); 95 % interval of the sum {low:.2f} to {high:.2f}"
    )
    if result.unreadable:
        tell(f"the softmax row leaves out {result.unreadable} queries whose files cannot be read any more")
    if result.unlabelled or result.uncoded:
        tell(f"not scored: {result.unlabelled} images without an IRMA code, {result.uncoded} without a code")
