"""What a route asks for by its parameters."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from radretrieval.serve.service import Service


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]
