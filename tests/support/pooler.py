"""pgbouncer before the session's server, on a Unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from databases import Server, database_of, wait_for
from programs import needs_program

PORT = 6432


@contextmanager
def pgbouncer(server: Server, url: str, mode: str = "transaction", size: int = 2, **settings: Any) -> Iterator[str]:
    """The URL of the same database through pgbouncer, whose pool has `size` connections to the server."""
    program = needs_program("pgbouncer")
    server_keys = {"host", "port", "user", "password"} & psycopg.conninfo.conninfo_to_dict(server.url).keys()
    parts = psycopg.conninfo.conninfo_to_dict(server.url)
    to = " ".join(f"{key}={parts[key]}" for key in sorted(server_keys))
    folder = Path(tempfile.mkdtemp(prefix="rr-b-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # pgbouncer refuses to run as root, and only its owner enters the embedded server's socket
        found = Path(str(parts.get("host", "/tmp")))
        owner = found.stat() if found.is_dir() else Path("/").stat()
        who = {"user": owner.st_uid or 65534, "group": owner.st_gid or 65534, "extra_groups": []}
        os.chown(folder, who["user"], who["group"])
    lines = {
        "listen_addr": "",
        "listen_port": PORT,
        "unix_socket_dir": folder,
        "auth_type": "any",
        "pool_mode": mode,
        "default_pool_size": size,
        "logfile": folder / "log",
        "query_wait_timeout": 60,
    } | settings
    configured = "".join(f"{name} = {value}\n" for name, value in lines.items())
    (folder / "ini").write_text(f"[databases]\n* = {to}\n[pgbouncer]\n{configured}")
    (folder / "ini").chmod(0o644)
    try:
        process = subprocess.Popen([program, folder / "ini"], stderr=subprocess.DEVNULL, cwd="/", **who)
        try:
            through = f"postgresql://{parts.get('user', 'postgres')}@/{database_of(url)}?host={folder}&port={PORT}"
            wait_for(through, process, folder / "log")
            yield through
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder)
