"""The pool of searchers: bounded, one network for all, and it follows the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from calibrating import fitted
from serving import Films
from tiny import CLASSES, FUSED, weights

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable
from radretrieval.search.request import Request
from radretrieval.serve import searchers
from radretrieval.serve.searchers import Searchers


@pytest.fixture
def pool(films: Films, films_url: str) -> Iterator[Searchers]:
    made = Searchers(Database(films_url), films.settings(films_url), 2, "cpu")
    yield made
    made.close()


def end_connections(url: str) -> None:
    with Database(url).connection() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_searches_at_a_time_are_bounded_and_share_the_network(pool: Searchers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searchers, "WAIT_SECONDS", 0.05)
    with pool.one() as first, pool.one() as second:
        assert first is not second
        assert first.coder is second.coder
        with pytest.raises(EnvironmentUnusable, match="too many searches"), pool.one():
            pass
    with pool.one() as again:
        assert again in (first, second)


def test_a_switch_of_the_active_encoder_is_followed(pool: Searchers, films_url: str) -> None:
    with pool.one() as searcher:
        before = searcher.encoder.id
    with Database(films_url).connection() as connection:
        other = encoders.add(connection, FUSED, weights(1), CLASSES, {}, fitted())
        encoders.activate(connection, other)
    with pool.one() as searcher:
        assert searcher.encoder.id == other
    with pool.one(before) as searcher:
        assert searcher.search(Request(5)).encoder_id == before


def test_lost_connections_are_made_anew(pool: Searchers, films_url: str) -> None:
    with pool.one() as searcher:
        expected = [hit.image_id for hit in searcher.search(Request(5)).hits]
    end_connections(films_url)
    with pool.one() as searcher:
        assert [hit.image_id for hit in searcher.search(Request(5)).hits] == expected
        end_connections(films_url)
        with pytest.raises(DatabaseUnavailable):
            searcher.search(Request(5))
    with pool.one() as searcher:
        assert [hit.image_id for hit in searcher.search(Request(5)).hits] == expected
