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
        from radretrieval.report.table import key_values

        told = "none" if index is None else index["kind"]
        if told == "hnsw" and index is not None and index["recall"] is not None:
            told += f" (finds {index['recall']:.1%} of the true nearest, {index['recall_worst']:.1%} at worst)"
        key_values([*(document | {"index": told}).items()])
    if index is not None and index["advice"] is not None:
        tell(index["advice"])
    if index is not None and index["unfinished"]:
        tell("an index is being built, or was begun and not finished: radretrieval index build begins anew")
    if document["images"] and not document["encoders"]:
        tell("there is no encoder: radretrieval train makes one, then radretrieval work --once encodes the images")
    elif document["pending"]:
        tell(f"{document['pending']} images have no code yet: radretrieval work --once")
    if document["arrived"]:
        tell(f"{document['arrived']} files have come and are no images yet: radretrieval receive and pull make them")
    if document["gone"] or document["same_uid"]:
        tell("images whose file is gone (gone_at), or whose SOP Instance UID two images have (same_uid), are in image")
    if document["flat"]:
        tell(
            "images whose pixels show nothing, so that what a search finds for them means nothing, are in image (flat)"
        )
    if document["failed"]:
        tell("what failed, and why, is in the tables ingest_failure and coding_failure")
