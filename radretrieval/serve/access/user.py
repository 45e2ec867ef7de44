"""Who makes a request, and what they may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fastapi import Request


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
    """A dependency of a route: the user, who has this role."""

    def user(request: Request) -> User:
        return LOCAL

    return user
