"""Command sets and PDUs, as pynetdicom encodes and decodes them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pynetdicom.dimse_messages import C_ECHO_RQ, C_ECHO_RSP, C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.pdu import P_DATA_TF
from raw_dicom import p_data

from radretrieval.dicom.scp import command_set, pdu

CR = "1.2.840.10008.5.1.4.1.1.1"


def encoded(message: Any, made: Any) -> bytes:
    """The command set that pynetdicom makes of a primitive."""
    message.primitive_to_message(made)
    first = next(iter(message.encode_msg(5, 0)))
    return bytes(first.presentation_data_value_list[0][1][1:])


def request(kind: type[Any], uid: str, number: int) -> Any:
    made = kind()
    made.MessageID, made.AffectedSOPClassUID = number, CR
    if kind is C_STORE:
        made.AffectedSOPInstanceUID, made.Priority, made.DataSet = uid, 2, BytesIO(b"data")
    return made


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "2.25." + "1" * 59])
@pytest.mark.parametrize(("status", "number"), [(0, 1), (0xA700, 65535), (0xC000, 0)])
@pytest.mark.parametrize(
    ("kind", "asked", "answered"), [(C_STORE, C_STORE_RQ, C_STORE_RSP), (C_ECHO, C_ECHO_RQ, C_ECHO_RSP)]
)
def test_a_request_is_read_and_answered_as_by_pynetdicom(
    uid: str, status: int, number: int, kind: Any, asked: Any, answered: Any
) -> None:
    command = command_set.decode(encoded(asked(), request(kind, uid, number)))
    assert command_set.number(command, command_set.MESSAGE) == number
    assert command[command_set.CLASS].decode() == CR
    assert command.get(command_set.INSTANCE, uid.encode()).decode() == uid
    without = command_set.number(command, command_set.DATA_SET) == command_set.NO_DATA_SET
    assert without == (kind is C_ECHO)
    response = request(kind, uid, number)
    response.MessageIDBeingRespondedTo, response.Status = number, status
    assert command_set.response(command, status) == encoded(answered(), response)


@pytest.mark.parametrize("data", [b"\0", b"\xff" * 40, encoded(C_ECHO_RQ(), request(C_ECHO, "", 1))[:-1]])
def test_what_is_no_command_set_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="is cut"):
        command_set.decode(data)


@pytest.mark.parametrize("largest", [0, 7, 16, 100, 16384])
def test_a_command_goes_in_pdus_that_the_peer_takes(largest: int) -> None:
    data, left, got = bytes(range(150)), pdu.command(5, bytes(range(150)), largest), b""
    headers = []
    while left:
        size = pdu.HEAD + int.from_bytes(left[2:6], "big")
        assert not largest or size - pdu.HEAD <= largest
        made = P_DATA_TF()
        made.decode(left[:size])
        [value] = made.presentation_data_value_items
        assert value.context_id == 5
        headers.append(value.data[0])
        got, left = got + value.data[1:], left[size:]
    assert got == data
    assert headers == [1] * (len(headers) - 1) + [3]


def test_the_values_of_a_pdu_and_those_that_are_cut() -> None:
    values = [(3, b"command"), (0, b""), (2, b"data set")]
    body = p_data(*values)[pdu.HEAD :]
    found = [(context, header, bytes(fragment)) for context, header, fragment in pdu.data_values(memoryview(body))]
    assert found == [(1, *value) for value in values]
    for wrong in (body[:-1], body + b"\0", body + b"\0\0\0\1\1", body + b"\0\0\0\1\1\0"):
        with pytest.raises(ValueError, match="is cut"):
            list(pdu.data_values(memoryview(wrong)))
