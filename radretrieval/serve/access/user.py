"""Who makes a request, and what they may."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from fastapi import Request
from starlette.exceptions import HTTPException

from radretrieval.config import ServeSettings


class Role(StrEnum):
    """What a user may: search and look; say what is relevant and correct labels; see the archive's state."""

    SEARCH = "search"
    LABEL = "label"
    ADMIN = "admin"


@dataclass(frozen=True)
class User:
    """Somebody who makes requests.

    Attributes
    ----------
    name : as the audit has it; `local` where nobody logs in.
    roles : what they may.
    """

    name: str
    roles: frozenset[Role]


LOCAL = User("local", frozenset(Role))


def require(role: Role) -> Callable[[Request], User]:
    """A dependency of a route: the user, who has this role. The gate has found out who it is."""

    def user(request: Request) -> User:
        found: User = request.state.caller.user
        if role not in found.roles:
            raise HTTPException(403, f"{found.name} may not do this: it needs the role {role}")
        return found

    return user


def roles_of(groups: Collection[str], options: ServeSettings) -> frozenset[Role]:
    """The roles of a member of these groups."""
    needed = {
        Role.SEARCH: options.search_groups,
        Role.LABEL: options.label_groups,
        Role.ADMIN: options.admin_groups,
    }
    return frozenset(role for role, names in needed.items() if "*" in names or not set(names).isdisjoint(groups))
