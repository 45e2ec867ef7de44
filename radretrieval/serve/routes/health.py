"""Whether the process lives, and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter

from radretrieval.serve.dependencies import Served
from radretrieval.serve.problems import answers

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Whether the process answers; in the event loop, for all threads may be busy with searches."""
    return {"status": "live"}


@router.get("/health/ready", responses=answers(503))
def ready(service: Served) -> dict[str, str]:
    """Whether the archive answers, too; else 503 says what is missing."""
    with service.database.connection() as connection:
        connection.execute("")
    return {"status": "ready"}
