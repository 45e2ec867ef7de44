"""`radretrieval status`."""

from __future__ import annotations

import typer

from radretrieval.cli.common import AsJson, opened, print_json, tell


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """How many images there are, how many can be found, and what is wrong with the others."""
    with opened(context) as archive:
        document = archive.status()
    index = document["index"]
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.advice import reader_state
        from radretrieval.report.table import key_values

        told = "none" if index is None else index["kind"]
        if told == "hnsw" and index is not None and index["recall"] is not None:
            told += f" (finds {index['recall']:.1%} of the true nearest, {index['recall_worst']:.1%} at worst)"
        standbys = "; ".join(one["server"] + ": " + reader_state(one) for one in document["readers"])
        key_values([*(document | {"index": told, "readers": standbys or "none"}).items()])
    from radretrieval.report.advice import advice

    for finding in advice(document):
        tell(finding.text)
