"""Multipart messages as servers write them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.errors import NotFetched
from radretrieval.storage.multipart import media_type, split_parts

FILE = b"\0" * 128 + b"DICM" + b"\r\n\r\n\n--"


@pytest.mark.parametrize(
    "header",
    [
        'multipart/related; type="application/dicom"; boundary=BB',
        'multipart/related;boundary="BB";type="application/dicom"',
        'Multipart/Related ; type=application/dicom ; Boundary = "BB"',
        'multipart/related; boundary=BB; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"',
    ],
)
def test_field_12_the_boundary_is_found_with_blanks_quotes_and_any_case(header: str) -> None:
    assert media_type(header) == ("multipart/related", "BB")


def test_field_12_what_names_no_boundary() -> None:
    assert media_type("application/dicom; transfer-syntax=1.2") == ("application/dicom", None)
    assert media_type("") == ("text/plain", None)
    assert media_type('multipart/related; boundary="a b;c=d"') == ("multipart/related", "a b;c=d")
    with pytest.raises(NotFetched, match="does not name"):
        split_parts(b"--BB\r\n\r\nx\r\n--BB--", None)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
@pytest.mark.parametrize(
    "message",
    [
        b"--BB|Content-Type: application/dicom||%s|--BB--|",
        b"--BB|Content-Type: application/dicom||%s|--BB--",
        b"|--BB  |Content-Type: application/dicom| ; more=1|MIME-Version: 1.0||%s|--BB--  |",
        b"preamble|--BB is no delimiter||--BB||%s|--BB--|epilogue|",
    ],
)
def test_field_12_lines_preamble_and_epilogue(message: bytes, end: bytes) -> None:
    assert split_parts(message.replace(b"|", end) % FILE, "BB") == [FILE]


def test_field_12_the_length_of_a_part_counts_before_a_boundary_within_it() -> None:
    data = FILE + b"\r\n--BB\r\nContent-Type: application/dicom\r\n\r\n" + FILE + b"\r\n--BB--\r\n"
    body = b"--BB\r\ncontent-length : %d\r\n\r\n" % len(data) + data + b"\r\n--BB--"
    assert split_parts(body, "BB") == [data]
    # the length alone, without a closing delimiter
    assert split_parts(body.removesuffix(b"\r\n--BB--"), "BB") == [data]
    # a length that is wrong counts for nothing
    assert split_parts(b"--BB\r\nContent-Length: 3\r\n\r\n" + FILE + b"\r\n--BB--", "BB") == [FILE]
    assert split_parts(b"--BB\r\nContent-Length: 9999\r\n\r\n" + FILE + b"\r\n--BB--", "BB") == [FILE]


@pytest.mark.parametrize(
    "middle", [b"\r\n--BB", b"\r\n--BB\r\n\0\0", b"\r\n--BB--\r\n", b"\n--BB\n\n", b"\r\n--BBB\r\n\r\n"]
)
def test_field_12_a_boundary_in_the_data_is_data_where_no_header_follows(middle: bytes) -> None:
    data = FILE + middle + FILE
    assert split_parts(b"--BB\r\nA: b\r\n\r\n" + data + b"\r\n--BB--\r\n", "BB") == [data]


def test_field_12_several_parts_and_empty_ones() -> None:
    assert split_parts(b"--BB\r\n\r\nA\r\n--BB\r\nA: b\r\n\r\n\r\n--BB\r\n\r\nB\r\n--BB--\r\n", "BB") == [
        b"A",
        b"",
        b"B",
    ]
    assert split_parts(b"--BB\r\nA: b\r\n\r\n--BB--\r\n", "BB") == [b""]


@pytest.mark.parametrize("kept", [3, 20, 60, 170, -1, -4, -9])
def test_field_12_a_message_that_was_cut_is_refused(kept: int) -> None:
    body = b"--BB\r\nContent-Type: application/dicom\r\n\r\n" + FILE + b"\r\n--BB--\r\n"
    cut = body[:-3][:kept] if kept < 0 else body[:kept]
    with pytest.raises(NotFetched):
        split_parts(cut, "BB")


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.booleans(), st.sampled_from([b"\r\n", b"\n"]))
def test_field_12_any_bytes_come_back(files: list[bytes], with_length: bool, end: bytes) -> None:
    boundary = f"{random.Random(len(files)).getrandbits(64):x}"
    body = b""
    for data in files:
        length = b"Content-Length: %d" % len(data) + end if with_length else b""
        body += end + b"--" + boundary.encode() + end + length + end + data
    assert split_parts(body + end + b"--" + boundary.encode() + b"--", boundary) == files
