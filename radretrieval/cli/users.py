"""`radretrieval users`: who may log in to `radretrieval serve` by name and password."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import tell
from radretrieval.errors import EnvironmentUnusable, UsageError

app = typer.Typer(help="Users of `serve` in a file.", no_args_is_help=True)


@app.callback()
def users() -> None:
    """Users of `serve` in a file."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name to log in with.")],
    role: Annotated[
        list[str],
        typer.Option("--role", metavar="ROLE", help="search, label or admin; may be repeated."),
    ],
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Default RADRETRIEVAL_SERVE_USERS_FILE; -: print the line."),
    ] = None,
) -> None:
    """Write a user's line into the users file, in place of one of the same name.

    The password is asked for; without a terminal it is the first line of stdin. To remove a user, delete the line.
    """
    from radretrieval.api.base import make_serve_settings

    path = file or make_serve_settings().users_file
    if path is None:
        raise UsageError("name the users file with --file or RADRETRIEVAL_SERVE_USERS_FILE")
    try:
        from radretrieval.serve.access import users_file
        from radretrieval.serve.access.user import Role
    except ImportError as error:
        raise EnvironmentUnusable(f"users needs {error.name}: pip install 'radretrieval[serve]'") from None
    try:
        roles = [Role(one) for one in role]
    except ValueError as error:
        raise UsageError(f"{error}; roles are {', '.join(Role)}") from None
    if str(path) == "-":
        print(users_file.line(name, _password(), roles))
        return
    new = users_file.add(path, name, _password(), roles)
    tell(f"{name} {'was added to' if new else 'was changed in'} {path}")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    password = getpass("password: ")
    if getpass("again: ") != password:
        raise UsageError("the two passwords differ")
    return password
