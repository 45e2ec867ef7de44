"""Run the service until it is told to end."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from radretrieval.config import ServeSettings, Settings
from radretrieval.dicom.scp import tls
from radretrieval.errors import EnvironmentUnusable
from radretrieval.serve.access.headers import MOST_BYTES
from radretrieval.serve.access.limits import network_of
from radretrieval.serve.app import create_app

HEAD_SECONDS = 15.0  # in which the head of a request must be there; of a body see `access.limits`
REST_SECONDS = 2.0  # that a client may go on sending a body which was answered already
READ_SECONDS = 60.0  # in which a client takes READ_BYTES of an answer that waits for it
READ_BYTES = 2**20
CONNECTIONS = 512  # at one time; for more, those that wait for their client are ended, else 503 is answered
END_SECONDS = 10  # that what is being answered gets when the service ends


def run(settings: Settings, options: ServeSettings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is called with the address once requests are answered.

    Raises
    ------
    UsageError : settings that let in whoever reaches the service, a certificate that cannot be used.
    EnvironmentUnusable : nothing can listen there, or the archive cannot be opened.
    """
    secured = tls.server_context(options.tls_cert, options.tls_key, None) if options.tls_cert else None
    app = create_app(settings, options)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",  # uvicorn would print a traceback where the archive cannot be opened
        loop="asyncio",
        log_config=None,  # its lines go where all go, and look like them
        log_level="warning",
        proxy_headers=False,  # the gate decides whom to believe
        server_header=False,
        limit_concurrency=2 * CONNECTIONS,  # connections that were ended, and their requests, count until they are gone
        h11_max_incomplete_event_size=MOST_BYTES,
        timeout_graceful_shutdown=END_SECONDS,
        ssl_context_factory=(lambda *_: secured) if secured else None,
    )
    with _listening(options) as listener, app.state.service:
        server = _Server(config)
        app.state.service.stop = server.stop
        server.on_ready = lambda: on_ready(_address(listener, "https" if secured else "http"))
        try:
            server.run([listener])
        except KeyboardInterrupt:  # uvicorn raises the signal again that has ended it in order
            if server.force_exit or not server.started:
                raise


def _listening(options: ServeSettings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host or None, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # with its protocol, or asyncio leaves out TCP_NODELAY, and each small answer waits 40 ms for an ACK
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise EnvironmentUnusable(
            f"nothing can listen on {options.host or '*'}:{options.port} ({error.strerror or error}); another program "
            "may have the port: name another one with --port, or an address of this machine with --host"
        ) from error
    return listener


def _address(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


class _Server(uvicorn.Server):
    on_ready: Callable[[], None]

    def stop(self) -> None:
        """End in order, as on SIGTERM; may be called by any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()


class _Protocol(H11Protocol):
    """HTTP/1.1 with an end to what uvicorn waits for without one.

    That is the head of a request, the rest of a body, and a client that does not read: its answer, of 28 MB for the
    raw pixels of a mammogram, would stay in memory.

    A body is answered before it is read where the request is refused. Closing at once would reset the connection, and
    the client might never read why.

    Where there are CONNECTIONS, a new one ends another that waits for its client: of the address that has the most, the
    one that has waited longest. So who opens many of them shuts out nobody but himself.
    """

    _wait: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _place: str | None = None  # the client's address; None for a proxy, whose clients are many
    _heard = 0.0  # when the client sent something last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard = self.loop.time()
        host, app = self.client[0] if self.client else "", self.config.app
        if not app.state.access.proxies.has(host):  # type: ignore[union-attr]
            self._place = network_of(host)
        self._make_room()
        self._end_after(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._end_after(HEAD_SECONDS)
        elif self.cycle is None or not self.cycle.response_complete:
            self._wait_no_more()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._end_after(REST_SECONDS)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_less_than(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._expect_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        self._expect_no_more()
        super().connection_lost(exc)

    @property
    def _waits(self) -> bool:
        """Whether the client has to do something: ask, send the rest of a body, or read its answer."""
        answering = self.cycle is not None and not self.cycle.response_complete
        return not answering or self.conn.their_state is h11.SEND_BODY or self._unread is not None

    def _make_room(self) -> None:
        held = [one for one in self.connections if isinstance(one, _Protocol) and not one.transport.is_closing()]
        if len(held) < CONNECTIONS:
            return
        counts = Counter(one._place for one in held)
        waiting = [one for one in held if one is not self and one._place is not None and one._waits]
        if waiting:
            max(waiting, key=lambda one: (counts[one._place], -one._heard)).transport.abort()

    def _end_after(self, seconds: float) -> None:
        """End the connection after so long, unless the head of a request or the rest of the body is there by then."""
        if self._wait is None:
            self._wait = self.loop.call_later(seconds, self._too_slow)

    def _wait_no_more(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None

    def _too_slow(self) -> None:
        self._wait = None
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not answering:
            self.transport.abort()

    def _expect_less_than(self, left: int) -> None:
        """End the connection unless its client reads on: of `left` bytes or more that wait, READ_BYTES in time."""
        self._expect_no_more()
        self._unread = self.loop.call_later(READ_SECONDS, self._look_at_reader, left)

    def _expect_no_more(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _look_at_reader(self, left: int) -> None:
        now = self.transport.get_write_buffer_size()
        if now > left - READ_BYTES:
            self.transport.abort()
        else:
            self._expect_less_than(now)
