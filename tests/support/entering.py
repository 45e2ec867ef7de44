"""Clients of the application with settings of a test's own, for tests of who may come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, UploadFile
from fastapi.testclient import TestClient

from radretrieval.config import ServeSettings, Settings
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.app import create_app

Served = Callable[..., TestClient]  # serve(base="http://127.0.0.1:8000", client=("127.0.0.1", 4000), **options)


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Makes clients, each of an application of its own; equal options get the same application, without cookies."""
    with ExitStack() as stack:
        made: dict[str, FastAPI] = {}

        def serve(
            base: str = "http://127.0.0.1:8000", client: tuple[str, int] = ("127.0.0.1", 4000), **options: Any
        ) -> TestClient:
            key = repr(sorted(options.items()))
            if key not in made:
                app = create_app(settings, ServeSettings(**options))
                _add_routes(app)
                stack.enter_context(TestClient(app))
                made[key] = app
            return TestClient(
                made[key], base_url=base, client=client, raise_server_exceptions=False, follow_redirects=False
            )

        yield serve


def _add_routes(app: FastAPI) -> None:
    page = app.router.routes.pop()

    searching = [Depends(require(Role.SEARCH))]

    @app.post("/api/taken", dependencies=searching)
    def taken(file: UploadFile) -> int:
        return len(file.file.read())

    @app.post("/api/read", dependencies=searching)
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.get("/api/fails", dependencies=searching)
    def fails() -> None:
        raise RuntimeError("secret")

    for role in Role:

        @app.get(f"/api/of/{role}")
        def of_role(user: User = Depends(require(role))) -> str:  # noqa: B008
            return user.name

    app.router.routes.append(page)
