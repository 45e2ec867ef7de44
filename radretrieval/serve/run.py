"""Run the service until it is told to end."""

from __future__ import annotations

from collections.abc import Callable

import uvicorn

from radretrieval.config import ServeSettings, Settings
from radretrieval.serve.app import create_app


def run(settings: Settings, options: ServeSettings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is called with the address once requests are answered."""
    server = _Server(uvicorn.Config(create_app(settings, options), options.host, options.port, log_level="warning"))
    server.on_ready = on_ready
    server.run()


class _Server(uvicorn.Server):
    on_ready: Callable[[str], None]

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
