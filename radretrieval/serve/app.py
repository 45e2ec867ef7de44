"""The application: routes, the page's files, and what is opened and closed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from radretrieval.config import ServeSettings, Settings
from radretrieval.serve.problems import add_handlers
from radretrieval.serve.routes import codes, health
from radretrieval.serve.service import Service

PAGE = Path(__file__).parent / "page"


def create_app(settings: Settings, options: ServeSettings) -> FastAPI:
    """The application over the archive of the settings.

    `app.state.service` is its `Service`, which is opened and closed with it.
    """
    service = Service(settings, options)

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        with service:
            yield

    app = FastAPI(title="radretrieval", lifespan=opened, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.service = service
    add_handlers(app)
    for routes in (codes, health):
        app.include_router(routes.router)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app
