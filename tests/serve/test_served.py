"""`radretrieval serve` in a process of its own, on the archive that tests of the page share."""

from __future__ import annotations

from serving import Served


def test_the_process_answers_at_the_address_that_it_names(served: Served) -> None:
    with served.client() as client:
        assert client.get("/health/ready").json() == {"status": "ready"}
    assert len(served.films.known) == 30
