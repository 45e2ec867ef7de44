"""The routes of the API, as its OpenAPI document names them."""

from __future__ import annotations

from itertools import zip_longest

import httpx

NO_DATA = {"/health/live", "/health/ready", "/api/session", "/api/logout"}


def routes(client: httpx.Client) -> set[tuple[str, str]]:
    """Method and path of each route of data."""
    paths = client.get("/api/openapi.json").json()["paths"]
    return {(method, path) for path, methods in paths.items() for method in methods if path not in NO_DATA}


def route_of(known: set[tuple[str, str]], method: str, url: str) -> tuple[str, str]:
    """The route that such a request takes."""
    parts = url.partition("?")[0].split("/")
    for route in known:
        pairs = list(zip_longest(parts, route[1].split("/"), fillvalue=""))
        if route[0] == method and all(ours == theirs or theirs[:1] == "{" for ours, theirs in pairs):
            return route
    raise AssertionError(f"{method} {url} is no route of data")
