"""`radretrieval search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import radretrieval as rr
from radretrieval.cli.answer_notes import tell_answer, tell_recall
from radretrieval.cli.common import (
    AsJson,
    Device,
    EncoderId,
    bar,
    check_needs,
    opened,
    print_document,
    print_json,
    tell,
    tell_failures,
    tell_passed_over,
)
from radretrieval.cli.federation import search_sites

Picture = Annotated[
    Path | None, typer.Option("--picture", metavar="PNG", help="Write the query and its hits as a picture.")
]
Sr = Annotated[
    Path | None,
    typer.Option(
        "--sr",
        metavar="DCM",
        help="Write a DICOM Structured Report (TID 1500) for the query's patient and study: images by their UIDs, "
        "distances, IRMA codes, regions. The query must be DICOM.",
    ),
]
Sc = Annotated[
    Path | None,
    typer.Option(
        "--sc",
        metavar="DCM",
        help="Write the picture as a DICOM Secondary Capture, for the query's patient and study.",
    ),
]
Fhir = Annotated[
    Path | None,
    typer.Option("--fhir", metavar="JSON", help="Write a FHIR R4 bundle; patients are pseudonyms in it."),
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="CSV", help="Write the hits with the columns of --batch.")]
StoreTo = Annotated[
    str | None,
    typer.Option(
        "--store-to",
        metavar="AET@HOST:PORT",
        help="Send what --sr and --sc make, or else a report, to this DICOM node (C-STORE).",
    ),
]
Stow = Annotated[
    str | None,
    typer.Option(
        "--stow",
        metavar="URL",
        help="Send the same to this DICOMweb server (STOW-RS); RADRETRIEVAL_CREDENTIALS names the file of its "
        "user:password or bearer token.",
    ),
]
SiteName = Annotated[
    list[str] | None,
    typer.Option(
        "--site",
        metavar="NAME|all",
        help="Search this archive of the file of sites (RADRETRIEVAL_SITES_FILE) instead; may be repeated; all: every "
        "one. FILE is coded by an encoder of the archive of --database-url, and id:N is an image of it. Ends with 4 "
        "where a site did not answer.",
    ),
]
Deadline = Annotated[
    float, typer.Option("--deadline", metavar="SECONDS", help="With --site: sites that take longer are left out.")
]
RequireAll = Annotated[
    bool, typer.Option("--require-all", help="With --site: no answer, and exit code 3, unless every site answers.")
]
AeTitle = Annotated[str, typer.Option("--ae-title", metavar="AET", help="Our own AE title for --store-to.")]


def search(
    context: typer.Context,
    query: Annotated[
        str | None,
        typer.Argument(metavar="FILE|id:N", help="A radiograph, or an image of the archive.", show_default=False),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            "--batch",
            metavar="DIR|CSV",
            help="Many queries instead: every file of a folder and below it, or the rows of a CSV with a column file "
            "(relative to the CSV), image_id or id.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every image that has a code is a query instead, by id.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where the hits of --batch or --all go: a .csv, or a .parquet (pip install 'radretrieval[parquet]'); "
            "a row a hit, in the order of the queries, and one without a rank for a query without hits.",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", help="How many hits.")] = 10,
    candidates: Annotated[
        int, typer.Option("--candidates", metavar="N", help="How many of the nearest codes are re-ranked.")
    ] = 50,
    roi: Annotated[
        str | None,
        typer.Option("--roi", metavar="X,Y,W,H", help="Find this region of the query in each hit (pixels)."),
    ] = None,
    roi_method: Annotated[
        str,
        typer.Option(
            "--roi-method",
            metavar="context|paper",
            help="How: the region with its surroundings, which may be not found; or the paper's correlation.",
        ),
    ] = "context",
    roi_polarity: Annotated[
        str,
        typer.Option(
            "--roi-polarity",
            metavar="same|either",
            help="either: some films have dark and bright exchanged.",
        ),
    ] = "same",
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="COL=VALUE",
            help="Only images with this, or COL!=VALUE, COL>=VALUE, COL<VALUE; may be repeated. An IRMA code may be a "
            "pattern, as 1121-* or *-*-5*.",
        ),
    ] = None,
    where_sql: Annotated[
        str | None,
        typer.Option("--where-sql", metavar="SQL", help="A condition on image i, for roles that may (docs/sql.md)."),
    ] = None,
    one_per: Annotated[
        str | None, typer.Option("--one-per", metavar="patient|study", help="Of each only the nearest image.")
    ] = None,
    max_distance: Annotated[
        int | None, typer.Option("--max-distance", metavar="BITS", help="No candidate farther than this.")
    ] = None,
    exclude_same_patient: Annotated[
        bool, typer.Option("--exclude-same-patient", help="Leave out images of the query's patient.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Also why each hit stands where it does: its rank by CNNC alone, the parts of its key, its barcode "
            "distance by projection, and the axes of its IRMA code that agree with the query and with most hits.",
        ),
    ] = False,
    relevant: Annotated[
        list[int] | None,
        typer.Option(
            "--relevant",
            metavar="N",
            min=0,
            help="Refine the search: image N is like what is looked for; may be repeated.",
        ),
    ] = None,
    not_relevant: Annotated[
        list[int] | None,
        typer.Option(
            "--not-relevant",
            metavar="N",
            min=0,
            help="Refine the search: image N is not what is looked for, and is left out; may be repeated.",
        ),
    ] = None,
    site: SiteName = None,
    deadline: Deadline = 10.0,
    require_all: RequireAll = False,
    picture: Picture = None,
    sr: Sr = None,
    sc: Sc = None,
    fhir: Fhir = None,
    csv: Csv = None,
    store_to: StoreTo = None,
    stow: Stow = None,
    ae_title: AeTitle = "RADRETRIEVAL",
    encoder: EncoderId = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find the images most like a given one, or like each of many. A query image is never among its own hits.

    --batch and --all answer each query as it would be answered alone, as of one moment; the archive may change between
    two queries.
    """
    outputs = rr.AnswerOutputs(picture, sr, sc, fhir, csv, store_to, stow, ae_title)
    of_one = [*([] if roi is None else ["--roi"]), *(["--explain"] if explain else []), *outputs.given()]
    of_one += [*(["--relevant"] if relevant else []), *(["--not-relevant"] if not_relevant else [])]
    _check_options(query, batch, everything, out, [*of_one, *(["--site"] if site else [])])
    check_needs(context, deadline="site", require_all="site", roi_method="roi", roi_polarity="roi", ae_title="store_to")
    conditions: dict[str, Any] = {
        "top": top,
        "candidates": candidates,
        "where": where or (),
        "where_sql": where_sql,
        "one_per": one_per,
        "max_distance": max_distance,
        "exclude_same_patient": exclude_same_patient,
        "encoder": encoder,
        "device": device,
    }
    with opened(context) as archive:
        if query is not None and site:
            unable = {*of_one, *([] if where_sql is None else ["--where-sql"])} - {"--explain"}
            conditions.pop("where_sql")
            asking = {"deadline": deadline, "require_all": require_all, "explain": explain}
            search_sites(archive, query, site, unable, conditions | asking, as_json)
        elif query is not None:
            alone: dict[str, Any] = {
                "roi": roi,
                "roi_method": roi_method,
                "roi_polarity": roi_polarity,
                "explain": explain,
            }
            alone |= {"relevant": relevant or (), "not_relevant": not_relevant or ()}
            _search_one(archive, query, outputs, conditions | alone, as_json)
        elif out is not None:
            _search_many(archive, batch, out, conditions, as_json)


def _search_one(
    archive: rr.Archive, query: str, outputs: rr.AnswerOutputs, conditions: dict[str, Any], as_json: bool
) -> None:
    answer = archive.search(query, outputs=outputs, **conditions)
    for remark in outputs.remarks:
        tell(remark)
    if as_json:
        print_json(answer.document())
    else:
        from radretrieval.report.answer_table import print_answer

        print_answer(answer)
    tell_answer(answer)
    for line in archive.send(outputs):
        tell(line)


def _check_options(
    query: str | None, batch: Path | None, everything: bool, out: Path | None, of_one: list[str]
) -> None:
    """Raise UsageError for options that do not go together: FILE or id:N is one query, the others are many.

    Parameters
    ----------
    of_one : the options of one query that were given, by name.
    """
    if sum((query is not None, batch is not None, everything)) != 1:
        raise rr.UsageError("search takes one of: FILE or id:N, --batch PATH (a folder or a CSV), --all")
    if query is not None:
        if out is not None:
            raise rr.UsageError(
                "--out is where the hits of --batch or --all go; one query's go to --csv, or stdout (--json)"
            )
        return
    name = "--all" if everything else "--batch"
    if of_one:
        raise rr.UsageError(f"{of_one[0]} is of one query and cannot stand beside {name}; leave one of them out")
    if out is None:
        raise rr.UsageError(f"{name} needs --out FILE.csv or FILE.parquet: where the hits go")
    if batch is not None and batch.resolve() == out.resolve():
        raise rr.UsageError(f"--out {out} is the CSV of the queries itself; name another file")


def _search_many(archive: rr.Archive, batch: Path | None, out: Path, conditions: dict[str, Any], as_json: bool) -> None:
    with bar("search") as progress:
        report = archive.search_many(batch, **conditions).write(out, progress)
    document = report.document(out)
    if as_json:
        print_json(document)
    else:
        ways = ", ".join(f"{name} ({count})" for name, count in document["path"].items())
        print_document(document | {"path": ways or None}, as_json)
        tell_failures(report.failures)
        if report.passed_over:
            tell_passed_over(report.passed_over)
    if report.flat:
        tell(
            f"{report.flat} queries are flat: nearly all their pixels have one grey value, and their hits mean nothing"
        )
    if report.nothing_similar:
        tell(f"{report.nothing_similar} queries have nothing similar in the archive; their hits have no probabilities")
    if report.short:
        tell(f"{report.short} queries have fewer than {conditions['top']} hits: no more coded images pass for them")
    if report.path["hnsw"]:
        tell_recall(report.recall)
    if report.failures:
        raise typer.Exit(1)
