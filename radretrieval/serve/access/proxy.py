"""What a proxy in front says: who the user is, and from where a request came."""

from __future__ import annotations

import ipaddress

from starlette.exceptions import HTTPException
from starlette.requests import Request

from radretrieval.config import ServeSettings
from radretrieval.errors import UsageError
from radretrieval.serve.access.user import User, roles_of

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LONGEST_NAME = 200


class Proxies:
    """The proxies whose headers count.

    Raises
    ------
    UsageError : a proxy that is no address and no network.
    """

    def __init__(self, options: ServeSettings) -> None:
        self._options = options
        try:
            self._networks = [ipaddress.ip_network(one) for one in options.proxies]
        except ValueError as error:
            raise UsageError(f"RADRETRIEVAL_SERVE_PROXIES: {error}; a network is as 10.1.2.0/24") from None

    def sent(self, request: Request) -> bool:
        """Whether a proxy made this request."""
        return self.has(request.client.host if request.client else "")

    def has(self, peer: str) -> bool:
        """Whether this is the address of a proxy."""
        found = _address(peer)
        return found is not None and any(found in network for network in self._networks)

    def address(self, request: Request) -> str:
        """From where this request came: the address that the proxy saw, or that of the peer."""
        peer = request.client.host if request.client else ""
        if self.sent(request):
            # the proxy adds the last one; those before it are what its client said
            last = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
            peer = last if _address(last) else peer
        return str(_address(peer) or peer)

    def user(self, request: Request) -> User | None:
        """The user that the proxy names; None where it names nobody, or another one than the proxy does.

        Raises
        ------
        HTTPException : a name that is there twice or is none: the proxy passes on what its client sent.
        """
        options = self._options
        names = request.headers.getlist(options.user_header or "")
        if not names or not self.sent(request):
            return None
        if len(names) > 1 or len(names[0]) > LONGEST_NAME or not names[0].isprintable():
            raise HTTPException(400, f"the header {options.user_header} must be there once, with a name")
        if not (name := names[0].strip()):
            return None
        said = request.headers.getlist(options.groups_header) if options.groups_header else []
        if len(said) > 1:
            raise HTTPException(400, f"the header {options.groups_header} must be there once")
        groups = {one.strip() for one in "".join(said).split(",")} - {""}
        return User(name, roles_of(groups, options))


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found
