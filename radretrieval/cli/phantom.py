"""`radretrieval phantom`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, bar, print_json


class Layout(StrEnum):
    """How the files are laid out."""

    csv = "csv"
    imageclef = "imageclef"


def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder, made if it is not there.")],
    images: Annotated[int, typer.Option("--images", min=1, metavar="N", help="How many radiographs.")] = 480,
    classes: Annotated[int, typer.Option("--classes", min=1, metavar="N", help="Of how many IRMA codes.")] = 12,
    layout: Annotated[Layout, typer.Option("--layout", help="csv: a folder with labels.csv.")] = Layout.csv,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Equal seeds give equal files.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write synthetic radiographs with labels, for a try-out or a load test."""
    from radretrieval.phantom import write_archive

    with bar("write", images) as advance:
        labels = write_archive(folder, images, classes, seed=seed, layout=layout.value, progress=advance)
    if as_json:
        print_json({"images": images, "classes": classes, "labels": str(labels)})
    else:
        print(
            f"{images} radiographs of {classes} classes in {folder}; "
            f"next: radretrieval ingest {folder} --labels {labels}"
        )
