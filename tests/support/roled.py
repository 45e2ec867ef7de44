"""An archive whose site runs each service with a database role of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from conftest import Run, clean_environment
from databases import Server
from inside import run_inside
from serving import Films

from radretrieval.archive import roles
from radretrieval.archive.schema.rights import OWNER, SERVICES, role

GROUPS = (OWNER, *SERVICES)
PASSWORD = "Pass-of/ro:les@1"
QUOTED = "Pass-of%2Fro%3Ales%401"


@dataclass(frozen=True)
class Roled:
    """The archive, and a login role for each service.

    Attributes
    ----------
    url : as a superuser. folder : of the commands. home : of their keys. names : login roles by service.
    """

    url: str
    folder: Path
    home: Path
    names: dict[str, str]

    def url_of(self, service: str) -> str:
        """The URL of the login role of a service."""
        return logged_in(self.url, self.names[service])

    def connect(self, service: str) -> psycopg.Connection[Any]:
        """A session of that role, which commits each statement."""
        made = psycopg.connect(self.url_of(service), autocommit=True)
        made.execute("SET search_path = radretrieval, public")
        return made

    def run(self, service: str, *arguments: object, check: bool = True, **environment: str) -> Run:
        """The command line as this role, in this process."""
        told = clean_environment(self.home, self.url_of(service)) | environment
        return run_inside(arguments, told, self.folder, check=check)

    def dba(self, statement: str) -> list[tuple[Any, ...]]:
        """What a superuser does."""
        with psycopg.connect(self.url, autocommit=True) as made:
            done = made.execute(statement)  # type: ignore[call-overload]
            return done.fetchall() if done.description else []


def logged_in(url: str, name: str) -> str:
    """A URL as another login role."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return url.replace(f"//{parts.netloc}", f"//{name}:{QUOTED}@{host}", 1)


@contextmanager
def service_roles(url: str) -> Iterator[None]:
    """The roles of the services with their rights in this database; those that were made are dropped afterwards.

    A role that another test's database knows stays until that one drops it.
    """
    with psycopg.connect(url, autocommit=True) as dba:
        dba.execute(roles.script())  # type: ignore[call-overload]
        try:
            yield
        finally:
            drop_roles(dba, [role(one) for one in GROUPS])


def drop_roles(dba: psycopg.Connection[Any], names: list[str]) -> None:
    """Drop roles with what they own and may do in this database."""
    for name in names:
        # a session that ends drops its temporary tables, in the midst of DROP OWNED
        dba.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (name,))
        dba.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}")  # type: ignore[call-overload]
        with suppress(psycopg.errors.DependentObjectsStillExist):
            dba.execute(f"DROP ROLE {name}")  # type: ignore[call-overload]


@contextmanager
def made(server: Server, films: Films, folder: Path) -> Iterator[Roled]:
    """A copy of the archive of films with the roles, and a login role of each service and of none."""
    mark = secrets.token_hex(4)
    names = {service: f"rr_{service}_{mark}" for service in (*GROUPS, "none")}
    with films.copy(server) as url, service_roles(url), psycopg.connect(url, autocommit=True) as dba:
        for service, name in names.items():
            group = "" if service == "none" else f"IN ROLE {role(service)}"
            dba.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {group}")  # type: ignore[call-overload]
        try:
            yield Roled(url, folder, films.home, names)
        finally:
            drop_roles(dba, list(names.values()))
