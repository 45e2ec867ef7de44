"""`radretrieval backup` and `radretrieval restore`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, bar, check_needs, opened, print_document, tell, tell_failures
from radretrieval.errors import UsageError

Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", metavar="FILE", help="File of the keys of pseudonyms, hidden paths and exports; never inside DIR."
    ),
]
Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="File of the passphrase that --keys is encrypted under."),
]


def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or that of an earlier backup.")],
    keys: Keys = None,
    passphrase_file: Passphrase = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Tables that are dumped at a time.")] = 2,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Then restore it into a scratch server, and compare tables, answers and indexes."
        ),
    ] = False,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", help="Make no backup; verify the one that DIR holds.")
    ] = False,
    scratch: Annotated[
        str | None,
        typer.Option(
            "--scratch", metavar="URL", help="Verify in this empty database, not in an embedded server of its own."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Save database and store into a folder, all of one moment, while others write; run it again to renew it.

    The backup before stays whole until the new one is; files that it has are not copied again. Ends with 1 when the
    store lacks a file, or when the verification finds a fault.
    """
    check_needs(context, scratch="verify verify_only", passphrase_file="keys")
    if verify_only and (verify or keys is not None or passphrase_file is not None):
        raise UsageError("--verify-only makes no backup; leave out --verify, --keys and --passphrase-file")
    document, failed = {}, False
    with opened(context) as archive, bar("backup") as progress:
        if not verify_only:
            report = archive.back_up(folder, keys=keys, passphrase_file=passphrase_file, jobs=jobs, progress=progress)
            document, failed = asdict(report), bool(report.failures.total)
        found = archive.verify_backup(folder, scratch=scratch, progress=progress) if verify or verify_only else None
    if found is not None:
        failed = failed or bool(found.failures.total)
        document = document | {"verified": not found.failures.total, "verification": asdict(found)}
    shown = {**document, **{f"verified {name}": value for name, value in document.get("verification", {}).items()}}
    print_document(document if as_json else shown, as_json, without=("verification", "verified failures"))
    if not as_json:
        for failures in ([] if verify_only else [report.failures]) + ([found.failures] if found else []):
            tell_failures(failures)
    if not verify_only and keys is None:
        tell("the keys are not in the backup: keep them apart (--keys FILE), or patients and hidden paths are lost")
    if document.get("elsewhere"):
        tell(f"{document['elsewhere']} images have their files where they were found: back those up too")
    if failed:
        raise typer.Exit(1)


def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a backup.")],
    keys: Keys = None,
    passphrase_file: Passphrase = None,
    skip_damaged: Annotated[
        bool,
        typer.Option("--skip-damaged", help="Leave out files of the store that are damaged or missing in the backup."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty database, and into the store: of any server of its version or newer, as any role.

    Every file of the backup is checked before anything is changed; an archive is never overwritten. Rights and policies
    are not restored: grant them anew.
    """
    check_needs(context, passphrase_file="keys")
    with opened(context) as archive, bar("restore") as progress:
        report = archive.restore(
            folder, keys=keys, passphrase_file=passphrase_file, skip_damaged=skip_damaged, progress=progress
        )
    print_document(asdict(report), as_json)
    if not as_json:
        tell_failures(report.failures)
    if report.elsewhere:
        tell(f"{report.elsewhere} images have their files elsewhere; are they there? radretrieval verify")
    tell("rights and policies are not restored: grant them anew")
    if report.failures:
        raise typer.Exit(1)
