"""The URLs of the archive's database: those of the settings, checked, and as messages show them."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable


def _form(setting: str) -> str:
    return (
        f"what {setting} gives is not a database URL of the form postgresql://user:password@host:5432/database; in a "
        "password, every character but letters, digits and -._~ is written as % and two hexadecimal digits"
    )


FORM = _form("--database-url or RADRETRIEVAL_DATABASE_URL")


def redacted(url: str) -> str:
    """A URL without its password, for messages and logs."""
    import psycopg

    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "(a URL that cannot be read)"
    if "service" in parts:
        return f"postgresql:///?service={parts['service']}"
    host = str(parts.get("host", "localhost"))
    user = f"{parts['user']}@" if "user" in parts else ""
    if host.startswith("/"):
        return f"postgresql://{user}/{parts.get('dbname', '')}?host={host}"
    hosts, ports = host.split(","), str(parts.get("port", "")).split(",")
    places = zip(hosts, ports if len(ports) > 1 else ports * len(hosts), strict=False)
    shown = ",".join(f"{one}:{port}" if port else one for one, port in places)
    return f"postgresql://{user}{shown}/{parts.get('dbname', '')}"


def database_url(settings: Settings) -> str:
    """The archive's URL: the one that is set (with its password from a file), or the embedded server's, started."""
    if settings.database_url is None:
        from radretrieval.archive.embedded import shared_server

        return shared_server.start(settings.home, settings.embedded_start_seconds)
    return _checked(settings.database_url, settings)


def direct_url(settings: Settings) -> str | None:
    """The URL of PostgreSQL itself that is set beside a pooler's; None where there is none."""
    if settings.database_url is None or settings.direct_database_url is None:
        return None
    return _checked(settings.direct_database_url, settings, _form("RADRETRIEVAL_DIRECT_DATABASE_URL"))


def read_url(settings: Settings) -> str | None:
    """The URL of the standbys that searches are read from; None where none is set."""
    if settings.read_url is None:
        return None
    import psycopg

    form = _form("RADRETRIEVAL_READ_URL")
    url = _checked(settings.read_url, settings, form)
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its text would repeat the URL with the password
        raise EnvironmentUnusable(form) from None
    return url


def hosts_of(url: str) -> list[str]:
    """A URL of several hosts as a connection string for each, whatever part its server has."""
    import psycopg

    parts = psycopg.conninfo.conninfo_to_dict(url)
    for name in ("target_session_attrs", "load_balance_hosts"):
        parts.pop(name, None)
    lists = {name: str(parts[name]).split(",") for name in ("host", "hostaddr", "port") if name in parts}
    count = max((len(values) for values in lists.values()), default=1)
    each = [{name: values[place % len(values)] for name, values in lists.items()} for place in range(count)]
    return [psycopg.conninfo.make_conninfo("", **parts | one) for one in each]


def _checked(url: str, settings: Settings, form: str = FORM) -> str:
    """A URL of the settings in libpq's form, with its password from a file; raises EnvironmentUnusable for another."""
    url = url.replace("postgresql+psycopg://", "postgresql://", 1)
    if not url.startswith(("postgresql://", "postgres://")):
        raise EnvironmentUnusable(form)
    server, _, name = url.partition("://")[2].partition("?")[0].partition("/")
    if "#" in url or "@" in name or server.count("@") > 1:  # else messages would show part of a password as a host
        raise EnvironmentUnusable(form)
    if settings.database_password_file is not None:
        url = _with_password(url, settings)
    return url


def _with_password(url: str, settings: Settings) -> str:
    file = settings.database_password_file
    assert file is not None
    try:
        password = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise EnvironmentUnusable(
            f"the password file {file} cannot be read ({error.strerror}); RADRETRIEVAL_DATABASE_PASSWORD_FILE names it"
        ) from error
    parts, quoted = urlsplit(url), quote(password, safe="")
    user, at, host = parts.netloc.rpartition("@")
    if at:
        return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{quoted}@{host}"))
    # the user is that of a service, of PGUSER or of the operating system; urlunsplit would take `//` from an empty host
    before, _, query = url.partition("?")
    return f"{before}?{query}{'&' if query else ''}password={quoted}"
