"""`radretrieval federation`, and `radretrieval search --site`: several archives at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import typer

import radretrieval as rr
from radretrieval.cli.answer_notes import tell_answer
from radretrieval.cli.common import AsJson, opened, print_json, tell

PARTIAL = 4  # the exit code of an answer, or of a status, in which a site is missing

app = typer.Typer(
    help="Archives of several hospitals, which a file of sites names; search --site asks them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def federation() -> None:
    """Without it, the group would be its one command."""


@app.command()
def status(
    context: typer.Context,
    site: Annotated[
        list[str] | None,
        typer.Option("--site", metavar="NAME|all", help="Only this site; may be repeated. Default all."),
    ] = None,
    deadline: Annotated[float, typer.Option("--deadline", metavar="SECONDS", help="How long sites may take.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Which sites can be reached, their revision, images, encoders by the hash of their weights, lag and round trip.

    Ends with 4 where one cannot be reached, or cannot be searched with others.
    """
    with opened(context) as archive:
        found = archive.federation_status(site or (), deadline=deadline)
    if as_json:
        print_json({"sites": found})
    else:
        from radretrieval.report.federation_table import print_sites

        print_sites(found)
    for one in found:
        if one["problem"] is not None:
            tell(f"the site {one['site']} {one['problem']}")
        elif not one["askable"]:
            tell(f"the site {one['site']} cannot be searched with others: upgrade radretrieval there")
    if not all(one["askable"] for one in found):
        raise typer.Exit(PARTIAL)


def search_sites(
    archive: rr.Archive, query: str, sites: list[str], unable: Collection[str], options: dict[str, Any], as_json: bool
) -> None:
    """Answer one query from sites; ends with `PARTIAL` where one did not answer.

    Parameters
    ----------
    unable : given options that hold in one archive alone.
    """
    if unable:
        raise rr.UsageError(
            f"{min(unable)} cannot stand beside --site: films, ids and SQL of one's own are of one archive alone; "
            "leave one of them out"
        )
    answer = archive.search_sites(query, sites, **options)
    if as_json:
        print_json(answer.document())
    else:
        from radretrieval.report.answer_table import print_answer

        print_answer(answer)
    tell_answer(answer)
    for one in answer.sites:
        if not one.answered:
            tell(f"partial: the site {one.site} {one.problem}; its images are not in the answer")
        elif one.same_patient_excluded is False:
            tell(
                f"the site {one.site} makes pseudonyms with another key: of the query's patient only the query itself "
                "is left out there"
            )
    if answer.partial:
        raise typer.Exit(PARTIAL)
