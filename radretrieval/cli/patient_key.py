"""`radretrieval patient-key`: the key of the patients' pseudonyms."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, Issuer, opened, print_document, print_json, tell

app = typer.Typer(
    help="The secret key that patients' pseudonyms are made with.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def rotate(context: typer.Context, issuer: Issuer = None, as_json: AsJson = False) -> None:
    """Give every patient a new pseudonym under a new key; each stays the same patient. Or finish a rotation.

    The file then holds the chain of keys, the newest last: back it up, and copy it to every host that ingests. End
    ingest, receive and pull before. A person who knows only the old key can no longer test identifiers.

    In an archive of an older version pseudonyms do not take the issuer of identifiers; --issuer has them take it, and
    the patients so far are of that issuer.
    """
    with opened(context) as archive:
        done = archive.rotate_patient_key(issuer=issuer)
    print_document(asdict(done), as_json, without=("finished",))
    if done.finished:
        tell("an earlier rotation, which was ended before its last step, is finished now")


@app.command("of")
def pseudonym_of(
    context: typer.Context,
    patient: Annotated[str, typer.Argument(metavar="ID|-", help="Patient ID as in the header; -: read from stdin.")],
    issuer: Issuer = None,
    as_json: AsJson = False,
) -> None:
    """Print the pseudonym of a patient's identifier, as searches and SQL take it; this host needs the key.

    An identifier on the command line stands in the list of processes and in the shell's history: - reads it from stdin.
    """
    given = sys.stdin.readline() if patient == "-" else patient
    with opened(context) as archive:
        key = archive.patient_key_of(given, issuer=issuer)
    if as_json:
        print_json({"patient_key": key})
    else:
        typer.echo(key)


@app.command()
def accept(context: typer.Context, as_json: AsJson = False) -> None:
    """Record the key of this host as the archive's, whatever key its pseudonyms were made with.

    For a key that was lost, and for an archive of an older version where the key is said not to be its own although it
    is. After a lost key, further images of patients that the archive has get other pseudonyms than those before.
    """
    with opened(context) as archive:
        done = archive.accept_patient_key()
    print_document(asdict(done), as_json)
    if done.changed and done.patients:
        tell(
            f"the archive has {done.patients} patients from before: if their pseudonyms were made with another key, "
            "their further images are those of other patients"
        )
