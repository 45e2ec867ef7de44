"""`radretrieval serve` in a process of its own, on the archive that tests of the page share."""

from __future__ import annotations

import socket

from serving import Served

from radretrieval.config import ServeSettings
from radretrieval.serve.run import _listening


def test_the_process_answers_at_the_address_that_it_names(served: Served) -> None:
    with served.client() as client:
        assert client.get("/health/ready").json() == {"status": "ready"}
    assert len(served.films.known) == 30


def test_a_small_answer_does_not_wait_for_an_acknowledgement() -> None:
    # asyncio sets TCP_NODELAY where the listener tells its protocol; else a body waits for the delayed ACK of its head
    with _listening(ServeSettings(port=0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
