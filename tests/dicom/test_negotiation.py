"""Which transfer syntax the node accepts of those that a presentation context proposes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from pynetdicom import AE, build_context
from raw_dicom import ABORTED, ACCEPTED, REJECTED, Sender

from radretrieval.dicom.scp.server import ScpConfig, ScpServer
from radretrieval.dicom.sop_classes import RADIOGRAPHS
from radretrieval.dicom.transfer_syntaxes import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT

RAW = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)
JPEG = "1.2.840.10008.1.2.4."
LOSSLESS = (*(JPEG + end for end in ("70", "57", "80", "90", "201", "202")), "1.2.840.10008.1.2.5")
LOSSY = tuple(JPEG + end for end in ("50", "51", "81", "91", "203"))
UNKNOWN = (
    JPEG + "100",
    JPEG + "53",
    JPEG + "110",
    "1.2.840.113619.5.2",
    "1.2.826.0.1.3680043.2.1",
)  # MPEG-2, retired …


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ScpServer(ScpConfig("RADRETRIEVAL", "127.0.0.1", 0, RADIOGRAPHS), lambda event: 0, lambda *of: None)  # type: ignore[arg-type, return-value]
    yield server.port
    server.close()


def accepted(port: int, proposals: list[tuple[str, ...]]) -> list[str | None]:
    """The answer to each context, of so many associations as these need."""
    found: list[str | None] = []
    for start in range(0, len(proposals), 128):
        contexts = [build_context(RADIOGRAPHS[0], list(one)) for one in proposals[start : start + 128]]
        association = AE("SENDER").associate("127.0.0.1", port, contexts, "RADRETRIEVAL")
        answers = {one.context_id: str(one.transfer_syntax[0]) for one in association.accepted_contexts}
        found += [answers.get(1 + 2 * place) for place in range(len(contexts))]
        if association.is_established:
            association.release()
    return found


def test_field_11_lossy_is_accepted_only_where_nothing_else_is_proposed(port: int) -> None:
    ours = (*RAW, *LOSSLESS, *LOSSY)
    pairs = list(itertools.permutations((*ours, *UNKNOWN), 2))
    for pair, answer in zip(pairs, accepted(port, pairs), strict=True):
        known = [one for one in pair if one in ours]
        assert answer in known or (answer is None and not known), pair
        assert answer not in LOSSY or all(one in LOSSY for one in known), pair
        assert answer != IMPLICIT or all(one == IMPLICIT or one in LOSSY for one in known), pair
        assert EXPLICIT not in known or answer == EXPLICIT, pair
    many = [ours, ours[::-1], (*UNKNOWN, *LOSSY, IMPLICIT), (*LOSSY, *UNKNOWN), UNKNOWN, (LOSSY[0],)]
    assert accepted(port, many) == [EXPLICIT, EXPLICIT, IMPLICIT, JPEG + "91", None, LOSSY[0]]


@pytest.mark.parametrize("title", [b"\x1b[2J\x9b2J\xff\xe2\x80\xae", b"'; DROP TABLE a", b"A\r\nB\x07\x08"])
def test_an_ae_title_of_any_bytes_is_answered_and_acts_on_no_terminal(
    port: int, caplog: pytest.LogCaptureFixture, title: bytes
) -> None:
    for fields in ({"called": title.ljust(16)}, {"calling": title.ljust(16)}):
        with Sender(port, **fields) as sender:  # type: ignore[arg-type]
            assert sender.associate() in ((REJECTED, ABORTED, 0) if "called" in fields else (ACCEPTED, ABORTED, 0))
    with Sender(port) as sender:  # it goes on, and what it logged of the others is there
        assert sender.associate() == ACCEPTED
    assert caplog.messages
    assert all(message.isprintable() for message in caplog.messages)
