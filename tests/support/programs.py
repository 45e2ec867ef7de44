"""Programs that tests need: where one is missing the test is skipped, or fails where it must not be skipped.

RADRETRIEVAL_TEST_REQUIRE=dcmtk,orthanc names what must be there; `.ci/run` sets it to what it could install.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psycopg
import pytest

if TYPE_CHECKING:
    from databases import Server

REQUIRE = "RADRETRIEVAL_TEST_REQUIRE"
SBIN = "/usr/sbin"  # where Debian has pgbouncer and Orthanc, and only root's PATH
DCMTK = ("dcmqrscp", "dcmsend", "dsrdump", "echoscu", "storescp", "storescu")
# What RADRETRIEVAL_TEST_REQUIRE may name, and the Debian packages that bring it.
PACKAGES = {
    "dcmtk": "dcmtk",
    "orthanc": "orthanc orthanc-dicomweb",
    "dciodvfy": "dicom3tools",
    "netns": "iproute2; the right to make network namespaces",
    "curl": "curl",
    "openssl": "openssl",
    "nginx": "nginx-light",
    "pgbouncer": "pgbouncer",
    "chromium": "chromium",
}
NAMES = {"Orthanc": "orthanc", "ip": "netns", **dict.fromkeys(DCMTK, "dcmtk")}


def needs_program(*programs: str) -> Path:
    """Skip the test, or fail it, where one of these programs is not installed; else the path of the last one."""
    for program in programs:
        if (found := shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{SBIN}")) is None:
            lacking(NAMES.get(program, program), f"{program} is not installed")
    return Path(found)


def client_programs(server: Server) -> Path:
    """The folder of pg_dump and pg_restore that fit the server; skips where there are none."""
    if server.backend == "embedded":
        from radretrieval.archive.embedded.account import binaries

        return binaries(None)
    program = needs_program("pg_dump")
    with psycopg.connect(server.url) as connection:
        major = connection.info.server_version // 10000
    if (found := version_of(program)) < major:
        pytest.skip(f"pg_dump of PostgreSQL {found} dumps no server of PostgreSQL {major}")
    return program.parent


def version_of(program: Path) -> int:
    """The major version of one of PostgreSQL's programs."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.findall(r"\) (\d+)", told)[0])


def lacking(name: str, reason: str) -> NoReturn:
    """Skip the test for want of `name`; fail it where RADRETRIEVAL_TEST_REQUIRE names that."""
    told = f"{reason} (Debian: {PACKAGES[name]})" if name in PACKAGES else reason
    if name in required():
        pytest.fail(f"{told}, and {REQUIRE} names {name}", pytrace=False)
    pytest.skip(told, allow_module_level=True)


def required() -> set[str]:
    """The names in RADRETRIEVAL_TEST_REQUIRE.

    Raises
    ------
    ValueError : one of them is unknown, so that it would require nothing.
    """
    names = {name.strip() for name in os.environ.get(REQUIRE, "").split(",")} - {""}
    if unknown := names - PACKAGES.keys():
        raise ValueError(f"{REQUIRE} names {', '.join(sorted(unknown))}; known are {', '.join(PACKAGES)}")
    return names
