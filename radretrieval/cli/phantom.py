"""`radretrieval phantom`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from radretrieval.cli.common import AsJson, bar, print_json


def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder, made if it is not there.")],
    images: Annotated[
        int | None,
        typer.Option(
            "--images",
            min=1,
            metavar="N",
            help="How many radiographs. Without it 480, or as many as the release has (imageclef; 14,410 in all); "
            "another number keeps the proportions of the release's classes in train and test.",
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes",
            min=1,
            metavar="N",
            help="Of how many IRMA codes. Without it 12, or all 193 (imageclef; fewer are the largest).",
        ),
    ] = None,
    layout: Annotated[
        Literal["csv", "imageclef"],
        typer.Option(
            "--layout",
            help="csv: a folder with labels.csv. imageclef: the files of ImageCLEF 2009's release.",
        ),
    ] = "csv",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Equal seeds give equal files.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write synthetic radiographs with labels, for a try-out or a load test."""
    from radretrieval.phantom import archive_size, write_archive

    images, classes = archive_size(images, classes, layout)
    with bar("write") as progress:
        labels = write_archive(
            folder,
            images,
            classes,
            seed=seed,
            layout=layout,
            progress=None if progress is None else lambda _: progress(1, images),
            processes=_cores(),
        )
    if as_json:
        print_json({"images": images, "classes": classes, "labels": str(labels)})
    else:
        # a release is recognised by its folders
        labelled = "" if layout == "imageclef" else f" --labels {labels}"
        print(f"{images} radiographs of {classes} classes in {folder}; next: radretrieval ingest {folder}{labelled}")


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
