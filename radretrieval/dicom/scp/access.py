"""Access control of the storage SCP: calling AE titles, each from any host or from one host or network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from radretrieval.dicom.address import check_host, check_title
from radretrieval.errors import InputMissing, UsageError


@dataclass(frozen=True)
class AllowedPeer:
    """A node that may send.

    Attributes
    ----------
    title : its AE title; case-sensitive.
    host : host name, IP address or network (`10.1.2.0/24`) that it must connect from; None allows any.
    """

    title: str
    host: str | None = None

    @classmethod
    def parse(cls, text: str, option: str = "--peer") -> AllowedPeer:
        """Read `AET` or `AET@HOST`; raises UsageError, which names `option`, for anything else."""
        title, at, host = text.rpartition("@") if "@" in text else (text, "", "")
        title, host = check_title(title, option), host.strip()
        if at and not host:
            raise UsageError(
                f"{option} {text}: the host after the @ is missing; give AET alone, or AET@HOST with a host name, an "
                "IP address or a network"
            )
        try:
            if "/" in host:
                ipaddress.ip_network(host, strict=False)
            elif at:
                host = check_host(host, option, "a peer may call from any port", f"{title}@")
        except ValueError:
            raise UsageError(
                f"{option} {text}: {host} is neither an IP address nor a network; as in {title}@10.1.2.3 or "
                f"{title}@10.1.2.0/24"
            ) from None
        return cls(title, host or None)

    def allows(self, address: str) -> bool:
        """Whether the node may connect from this IP address; a host name is resolved at each call."""
        if self.host is None:
            return True
        caller = _ip_address(address)
        try:
            return caller in ipaddress.ip_network(self.host, strict=False)
        except ValueError:
            pass
        try:
            return any(_ip_address(str(found[4][0])) == caller for found in socket.getaddrinfo(self.host, None))
        except OSError:
            return False


def rejection_reason(peers: Iterable[AllowedPeer], title: str, address: str) -> str | None:
    """Why a calling AE title may not associate from an address; None if it may. Without any peers every node may."""
    allowed = list(peers)
    named = [peer for peer in allowed if peer.title == title]
    if not allowed or any(peer.allows(address) for peer in named):
        return None
    if named:
        return f"it may call from {' or '.join(str(peer.host) for peer in named)} only"
    return "its AE title is not among the peers (--peer, --peers)"


def read_peers(named: Iterable[str], file: Path | None = None) -> tuple[AllowedPeer, ...]:
    """Read the peers of --peer and those of a file: one a line, text after a # is a comment.

    Raises InputMissing where the file cannot be read, UsageError for a peer that is malformed.
    """
    peers = [AllowedPeer.parse(text) for text in named]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputMissing(f"the file of peers {file} cannot be read: {error}") from error
        stripped = (line.partition("#")[0].strip() for line in lines)
        peers += [AllowedPeer.parse(line, f"--peers {file}:") for line in stripped if line]
        if not peers:
            raise UsageError(f"the file of peers {file} names none: one a line, as AET or AET@HOST")
    return tuple(peers)


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP address; an IPv4 address that was mapped into IPv6 (`::ffff:10.0.0.1`) as IPv4."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
