"""Who may send: AE titles, each from anywhere or from one host or network."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from radretrieval.errors import InputMissing, UsageError

LONGEST_TITLE = 16


def check_title(title: str) -> str:
    """An AE title without the spaces around it; raises UsageError where it is none (PS3.5, 6.2: AE)."""
    told = title.strip()
    if not told or len(told) > LONGEST_TITLE or not told.isascii() or not told.isprintable() or "\\" in told:
        raise UsageError(
            f"{title!r} is no AE title: 1 to {LONGEST_TITLE} letters, digits and signs of ASCII, no backslash"
        )
    return told


@dataclass(frozen=True)
class Peer:
    """One node that may send.

    Attributes
    ----------
    title : its AE title; upper and lower case differ.
    host : name, address or network (`10.1.2.0/24`) that it must call from; None for anywhere.
    """

    title: str
    host: str | None = None

    @classmethod
    def of(cls, said: str) -> Peer:
        """From `AET` or `AET@HOST`; raises UsageError for anything else."""
        title, at, host = said.rpartition("@") if "@" in said else (said, "", "")
        if at and not host.strip():
            raise UsageError(
                f"{said!r} names no host after its @: AET, or AET@HOST with a name, an address or a network"
            )
        if "/" in host:
            try:
                ipaddress.ip_network(host.strip(), strict=False)
            except ValueError:
                raise UsageError(f"{said!r}: {host} is no network; as in {title or 'AET'}@10.1.2.0/24") from None
        elif re.fullmatch(r"[0-9.]+", host.strip()):
            try:
                ipaddress.ip_address(host.strip())
            except ValueError:
                raise UsageError(f"{said!r}: {host} is no address; as in {title or 'AET'}@10.1.2.3") from None
        return cls(check_title(title), host.strip() or None)

    def is_at(self, address: str) -> bool:
        """Whether it may call from this address; a name is looked up each time, for addresses of names change."""
        if self.host is None:
            return True
        caller = _plain(address)
        try:
            return caller in ipaddress.ip_network(self.host, strict=False)
        except ValueError:
            pass
        try:
            return any(_plain(str(found[4][0])) == caller for found in socket.getaddrinfo(self.host, None))
        except OSError:
            return False


def refusal(peers: Iterable[Peer], title: str, address: str) -> str | None:
    """Why a caller may not send; None if it may. Without any peers everyone may."""
    listed = list(peers)
    named = [peer for peer in listed if peer.title == title]
    if not listed or any(peer.is_at(address) for peer in named):
        return None
    if named:
        return f"it may call from {' or '.join(str(peer.host) for peer in named)} only"
    return "its AE title is not among the peers (--peer, --peers)"


def read_peers(said: Iterable[str], file: Path | None = None) -> tuple[Peer, ...]:
    """Peers as they are named, and those of a file: one a line, what follows a # is a comment.

    Raises InputMissing where the file cannot be read, UsageError for what is no peer.
    """
    peers = [Peer.of(one) for one in said]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputMissing(f"the file of peers {file} cannot be read: {error}") from error
        stripped = (line.partition("#")[0].strip() for line in lines)
        peers += [Peer.of(line) for line in stripped if line]
        if not peers:
            raise UsageError(f"the file of peers {file} names none: one a line, as AET or AET@HOST")
    return tuple(peers)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address; an IPv4 one that came through an IPv6 socket as what it is."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found
