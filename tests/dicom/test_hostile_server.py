"""A DICOMweb server that means harm: what it answers takes bounded memory and time, and acts on no terminal."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from unittest.mock import patch

import pytest

from radretrieval.dicom.pull import dicomweb
from radretrieval.dicom.pull.dicomweb import DicomWebSource
from radretrieval.dicom.pull.source import Instance
from radretrieval.errors import RadretrievalError
from radretrieval.storage import wado

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/dicom+json\r\n"


@contextlib.contextmanager
def answering(pieces: Iterable[bytes], pause: float = 0.0) -> Iterator[DicomWebSource]:
    """A client of a server that sends these pieces in each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                with contextlib.suppress(ConnectionError), listener.accept()[0] as connection:
                    connection.recv(2**16)
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(pause)

        thread = threading.Thread(target=_until_closed, args=(serve,), daemon=True)
        thread.start()
        client = DicomWebSource(f"http://127.0.0.1:{listener.getsockname()[1]}", None, 10**6)
        try:
            yield client
        finally:
            client.close()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _until_closed(serve: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        serve()


def whole(body: bytes, head: bytes = HEAD) -> list[bytes]:
    return [head + b"Content-Length: %d\r\n\r\n" % len(body) + body]


def refusal(client: DicomWebSource) -> str:
    with patch.object(wado, "RETRY_SECONDS", ()), pytest.raises(RadretrievalError) as refused:
        list(client.studies({}, None, None))
    return str(refused.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" * 200_000, "no list of DICOM JSON"),
        (b'[{"0020000D":{"Value":' + b"[" * 100_000 + b"]" * 100_000 + b"}}]", "no list of DICOM JSON"),
        (b'[{"0020000D":{"Value":[' + b"9" * 100_000 + b"]}}]", "no list of DICOM JSON"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "no list of DICOM JSON"),
    ],
)
def test_a_list_that_is_none_is_refused(body: bytes, said: str) -> None:
    with answering(whole(body)) as client:
        assert said in refusal(client)


def test_a_response_that_inflates_without_end_is_broken_off() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = deflate.compress(b"[" + b" " * 20_000_000) + deflate.flush()
    head = HEAD + b"Content-Encoding: gzip\r\n"
    with patch.object(dicomweb, "LONGEST_LIST", 2**20), answering(whole(packed, head)) as client:
        assert "more than the 1,048,576 bytes" in refusal(client)


@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"Content-Length: 1000000\r\n\r\n", b" "), (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")],
)
def test_a_response_that_drips_is_broken_off(head: bytes, piece: bytes) -> None:
    with patch.object(wado, "SLOW_SECONDS", 0.3), answering(chain([HEAD + head], repeat(piece)), 0.05) as client:
        assert "comes too slowly" in refusal(client)


def test_what_it_says_of_an_error_is_printable() -> None:
    head = b"HTTP/1.1 500 \x1b[31mBad\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    with answering(whole("\x1b]0;title\x07 \x9b2J \u202egnp".encode(), head)) as client:
        said = refusal(client)
    assert r"\x1b]0;title\x07 \x9b2J \u202egnp" in said
    assert said.isprintable()


def test_a_study_uid_is_no_path() -> None:
    rows = b'[{"0020000D":{"Value":["../../etc/passwd"]}},{"0020000D":{"Value":["1.2\\u001b[31m"]}}]'
    with answering(whole(rows)) as client:
        first, second = client.studies({}, None, None)
        url = client.location(Instance(first.uid, "1.2", "1.3"))
    assert url.endswith("/studies/..%2F..%2Fetc%2Fpasswd/series/1.2/instances/1.3")
    assert second.uid == ""
