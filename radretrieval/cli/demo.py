"""`radretrieval demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the demo lives: images, database and picture.")
    ] = Path("radretrieval-demo"),
) -> None:
    """Show the whole path on synthetic radiographs: ingest, train, encode, search with an ROI, evaluate."""
    from radretrieval.demo import run

    run(folder, say=print)
