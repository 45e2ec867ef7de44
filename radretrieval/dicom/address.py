"""AE titles, and the addresses of DICOM nodes: AET@host:port."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from radretrieval.errors import UsageError
from radretrieval.files.text import printable

LONGEST_TITLE = 16


def check_title(text: str, option: str) -> str:
    """Return an AE title without the spaces around it; `option` is what it was given with, for the message.

    Raises UsageError for what is no AE title (PS3.5, 6.2: AE).
    """
    title = text.strip()
    if not 0 < len(title) <= LONGEST_TITLE or not title.isascii() or not title.isprintable() or "\\" in title:
        raise UsageError(
            f"{option} {printable(text)}: an AE title has 1 to {LONGEST_TITLE} characters of ASCII and no backslash; "
            "ask the administrator of the node for its AE title"
        )
    if re.fullmatch(r".+@.+:[0-9]{1,5}", title):
        raise UsageError(
            f"{option} {title}: the AE title alone is meant, {title.rpartition('@')[0]}, without host and port"
        )
    return title


def check_host(text: str, option: str, ports: str, before: str = "") -> str:
    """Return a host name or IP address without the brackets of IPv6; raises UsageError, which names `option`.

    ports : what the message says of a port, which does not belong here. before : what the option has before the host.
    """
    host, given = text.strip(), f"{option} {before}{printable(text)}"
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*):[0-9]{1,5}", host)
    if found is not None:
        raise UsageError(f"{given}: {ports}; the form is {before}{found[1]}")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        if not re.fullmatch(r"[\w.-]+", bare) or re.fullmatch(r"[0-9.-]+", bare):
            raise UsageError(
                f"{given}: {printable(host)} is neither a host name nor an IP address, as pacs.example or 10.1.2.3"
            ) from None
    return bare


@dataclass(frozen=True)
class Address:
    """A DICOM node: AE title, host name or IP address, and port; printed as AET@host:port."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str, option: str) -> Address:
        """Read AET@host:port; an IPv6 address stands in brackets. Raises UsageError, which names `option`."""
        found = re.fullmatch(r"(.+)@(\[[0-9A-Fa-f:.]+\]|[^@:/\s]+):([0-9]{1,5})", text.strip())
        if found is None or not 0 < int(found[3]) < 65536:
            raise UsageError(f"{option} {printable(text)}: the form is AET@host:port, as ORTHANC@pacs.example:4242")
        return cls(check_title(found[1], option), found[2].strip("[]"), int(found[3]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.title}@{host}:{self.port}"
