"""What a service counts and times of itself, for Prometheus; nothing is imported or kept unless somebody listens.

Labels never have anything of a file or a patient.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from radretrieval.errors import EnvironmentUnusable, UsageError

MOST_LABELS = 500  # sets of values of a metric; further ones, of callers who give themselves names, are `other`
OTHER = "other"
CONNECTIONS = 16  # at a time; one more ends the oldest
PATIENCE = 10.0  # seconds for each read and write
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class Metric:
    """A metric of a process: a histogram of seconds where its name ends in `_seconds`, else a counter."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


STAGE = Metric("radretrieval_search_stage_seconds", "Time of a search in each of its stages.", ("stage",))
ENCODED = Metric("radretrieval_images_encoded_total", "Images that this worker has given their codes.")
NOT_ENCODED = Metric("radretrieval_images_not_encoded_total", "Images that this worker could not encode.", ("error",))
BATCH = Metric("radretrieval_encode_batch_seconds", "Time of a batch of images: waiting for pixels, coding.", ("step",))
RECEIVED = Metric("radretrieval_received_total", "C-STORE requests by caller and status.", ("caller", "status"))
TAKEN = Metric("radretrieval_inbox_files_total", "Files that came and were made images, by outcome.", ("outcome",))
DECODERS_ENDED = Metric("radretrieval_decoders_ended_total", "Decoding processes that a file ended.", ("reason",))
REQUEST = Metric("radretrieval_http_request_seconds", "Time of HTTP requests.", ("method", "route", "status"))
ALL = (STAGE, ENCODED, NOT_ENCODED, BATCH, RECEIVED, TAKEN, DECODERS_ENDED, REQUEST)

_made: dict[str, Any] = {}  # of prometheus_client, by name, while somebody listens
_seen: dict[str, set[tuple[str, ...]]] = {}
_lock = threading.Lock()


def count(metric: Metric, amount: float = 1, *values: str) -> None:
    """Add to a counter; `values` are those of its labels."""
    if amount and (made := _of(metric, values)) is not None:
        made.inc(amount)


def observe(metric: Metric, seconds: float, *values: str) -> None:
    """Add a time to a histogram; `values` are those of its labels."""
    if (made := _of(metric, values)) is not None:
        made.observe(seconds)


def _of(metric: Metric, values: tuple[str, ...]) -> Any:
    """What prometheus_client counts by, looked up once: the listener may end meanwhile. None while nobody listens."""
    made = _made.get(metric.name)
    if made is None or not metric.labels:
        return made
    with _lock:
        seen = _seen.setdefault(metric.name, set())
        if len(seen) >= MOST_LABELS and values not in seen:
            values = tuple(OTHER for _ in values)
        seen.add(values)
    return made.labels(*values)


@contextmanager
def listening(address: str | None) -> Iterator[int | None]:
    """Answer Prometheus at an address while the block runs; yields the port, None where no address is given.

    Parameters
    ----------
    address : `host:port`; port 0 takes any free one.

    Raises
    ------
    UsageError : it has another form. EnvironmentUnusable : nothing can listen there.
    """
    if address is None:
        yield None
        return
    host, port = _parsed(address)
    from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for metric in ALL:
        if metric.name.endswith("_seconds"):
            _made[metric.name] = Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=SECONDS)
        else:
            _made[metric.name] = Counter(metric.name, metric.help, metric.labels, registry=registry)
    try:
        server = _server(host, port, registry)
    except OSError as error:
        _made.clear()
        raise EnvironmentUnusable(
            f"nothing can listen on {address} ({error.strerror or error}); another program may have the port: name "
            "another address with --metrics"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        _made.clear()
        _seen.clear()
        server.shutdown()
        server.server_close()
        thread.join()


def _server(host: str, port: int, registry: Any) -> Any:
    """Something that answers Prometheus: slow clients, and many of them, take no threads and sockets of the service.

    Raises OSError.
    """
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    from prometheus_client import make_wsgi_app

    opened: deque[Any] = deque()

    class Handler(WSGIRequestHandler):
        timeout = PATIENCE

        def log_message(self, *_: object) -> None:
            """No line for each request."""

    class Server(ThreadingMixIn, WSGIServer):
        address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        daemon_threads = True

        def process_request(self, request: Any, client_address: Any) -> None:
            opened.append(request)
            if len(opened) > CONNECTIONS:
                with suppress(OSError, IndexError):
                    opened.popleft().shutdown(socket.SHUT_RDWR)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            with suppress(ValueError):
                opened.remove(request)
            super().shutdown_request(request)

        def handle_error(self, *_: object) -> None:
            """A client that went away is no error of the service."""

    return make_server(host, port, make_wsgi_app(registry), Server, Handler)


def _parsed(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise UsageError(f"--metrics {address} is no address with a port, as 127.0.0.1:9400 or [::1]:9400")
    return host.removeprefix("[").removesuffix("]"), int(port)
