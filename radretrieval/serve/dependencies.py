"""What a route asks for by its parameters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from radretrieval.errors import EnvironmentUnusable
from radretrieval.serve.service import Service


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]


AT_A_TIME = 24  # requests that decode or search; of the 40 threads of the event loop the others are left to the page
WAIT_SECONDS = 60.0  # for one of these to end


async def _turn(request: Request) -> AsyncIterator[None]:
    turns: asyncio.Semaphore = request.app.state.turns
    try:
        await asyncio.wait_for(turns.acquire(), WAIT_SECONDS)
    except TimeoutError:
        raise EnvironmentUnusable(f"too many searches: none ended within {WAIT_SECONDS:g} s; try again later") from None
    try:
        yield
    finally:
        turns.release()


# A request of this router takes a thread only when fewer than `AT_A_TIME` others have one.
TURN = Depends(_turn, scope="function")
