"""The application: routes, the page's files, and what is opened and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from fastapi import FastAPI
from starlette.formparsers import MultiPartParser
from starlette.staticfiles import StaticFiles

from radretrieval.archive.facets import FacetCounts
from radretrieval.config import ServeSettings, Settings
from radretrieval.serve import routes
from radretrieval.serve.access.access import Access
from radretrieval.serve.access.gate import Gate
from radretrieval.serve.analysis import Analysis
from radretrieval.serve.archive_state import ArchiveState
from radretrieval.serve.dependencies import AT_A_TIME
from radretrieval.serve.problems import add_handlers, answers
from radretrieval.serve.service import Service

PAGE = Path(__file__).parent / "page"
# What the gate answers, before any route; and 503, where the database or a turn is missing.
OF_THE_GATE = answers(400, 401, 403, 408, 413, 421, 429, 431, 503)


def create_app(settings: Settings, options: ServeSettings) -> FastAPI:
    """The application over the archive of the settings.

    `app.state.service` is its `Service`, which is opened and closed with it.

    Raises
    ------
    UsageError : settings that let in whoever reaches the service.
    """
    access = Access(options)
    service = Service(settings, options)

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        with service:
            yield

    MultiPartParser.spool_max_size = int(options.largest_upload)  # else larger files go to the disk
    app = FastAPI(title="radretrieval", lifespan=opened, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.service, app.state.access = service, access
    app.state.archive_state, app.state.analysis = ArchiveState(service), Analysis(service)
    app.state.facets, app.state.turns = FacetCounts(), asyncio.Semaphore(AT_A_TIME)
    add_handlers(app)
    app.add_middleware(Gate, access=access)
    for module in iter_modules(routes.__path__):  # each has a `router`
        app.include_router(import_module(f"{routes.__name__}.{module.name}").router, responses=OF_THE_GATE)
    app.mount("/", StaticFiles(directory=PAGE))
    return app
