"""Our encoding of the response to a C-STORE request is pynetdicom's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.pdu_primitives import P_DATA

from radretrieval.dicom.scp.store_response import command_set, respond_to_store


def response(uid: str, status: int, number: int, comment: str | None = None) -> Any:
    made: Any = C_STORE()
    made.MessageID = made.MessageIDBeingRespondedTo = number
    made.AffectedSOPClassUID, made.AffectedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", uid
    made.Status, made.ErrorComment = status, comment
    return made


def sent(most: int, primitive: Any) -> tuple[list[P_DATA], list[Any]]:
    """What goes to the peer, and what pynetdicom is left to encode."""
    data: list[P_DATA] = []
    left: list[Any] = []
    dimse = SimpleNamespace(
        send_msg=lambda primitive, context: left.append(primitive),
        maximum_pdu_size=most,
        dul=SimpleNamespace(send_pdu=data.append),
    )
    respond_to_store(dimse)
    dimse.send_msg(primitive, 5)
    return data, left


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "2.25." + "1" * 59])
@pytest.mark.parametrize(("status", "number"), [(0, 1), (0xA700, 65535), (0xC000, 0)])
def test_a_response_is_encoded_as_by_pynetdicom(uid: str, status: int, number: int) -> None:
    message = C_STORE_RSP()
    message.primitive_to_message(response(uid, status, number))
    [expected] = message.encode_msg(5, 0)
    for most in (0, 16384):
        [data], left = sent(most, response(uid, status, number))
        assert data.presentation_data_value_list == expected.presentation_data_value_list
        assert left == []


def test_what_is_no_plain_response_that_fits_is_left_to_pynetdicom() -> None:
    echo = C_ECHO()
    echo.MessageIDBeingRespondedTo = 1
    request = response("1.2.3", 0, 1)
    request.MessageIDBeingRespondedTo = None
    for most, primitive in (
        (16384, echo),
        (16384, request),
        (16384, response("1.2.3", 0xC000, 1, "as it may be")),
        (64, response("1.2.3", 0, 1)),  # it goes in several fragments
    ):
        assert sent(most, primitive) == ([], [primitive])
    command = command_set(response("1.2.3", 0, 1))
    assert command is not None
    assert len(sent(len(command) + 6, response("1.2.3", 0, 1))[0]) == 1
