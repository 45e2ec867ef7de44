"""Data sets as they come: what they are, and the files that they become."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filewriter import write_dataset

from radretrieval.dicom.address import check_host, check_title
from radretrieval.dicom.data_set import file_head, sop_uids
from radretrieval.dicom.scp.access import AllowedPeer, read_peers, rejection_reason
from radretrieval.dicom.scp.tls import server_context
from radretrieval.dicom.sop_classes import RADIOGRAPHS, storage_classes
from radretrieval.dicom.transfer_syntaxes import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, TRANSFER_SYNTAXES
from radretrieval.errors import ImageError, InputMissing, UsageError

uids = st.lists(st.integers(0, 10**6), min_size=1, max_size=8).map(lambda parts: ".".join(map(str, [1, 2, *parts])))


def encoded(ds: Dataset, syntax: str) -> bytes:
    """A data set in a transfer syntax."""
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax == IMPLICIT, syntax != BIG_ENDIAN
    write_dataset(buffer, ds)
    data = buffer.getvalue()
    if syntax != DEFLATED:
        return data
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush()


@given(uids, uids, st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, TRANSFER_SYNTAXES[1]]), st.booleans())
def test_the_uids_are_found_in_every_encoding(sop_class: str, instance: str, syntax: str, more: bool) -> None:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientName = sop_class, instance, "A"
    if more:
        ds.SpecificCharacterSet, ds.ImageType, ds.InstanceCreationDate = (
            "ISO_IR 192",
            ["ORIGINAL", "PRIMARY"],
            "20200101",
        )
    data = encoded(ds, syntax)
    assert sop_uids(data, syntax) == (sop_class, instance)

    file = file_head(sop_class, instance, syntax) + data
    assert file == file_head(sop_class, instance, syntax) + data
    read = pydicom.dcmread(io.BytesIO(file))
    assert (read.SOPInstanceUID, read.file_meta.MediaStorageSOPInstanceUID) == (instance, instance)
    assert (read.file_meta.TransferSyntaxUID, read.file_meta.MediaStorageSOPClassUID) == (syntax, sop_class)


@given(st.binary(max_size=200), st.sampled_from(TRANSFER_SYNTAXES))
def test_what_is_no_data_set_is_refused(data: bytes, syntax: str) -> None:
    with pytest.raises(ImageError):
        sop_uids(data, syntax)


def test_our_list_of_syntaxes_is_safe_for_pixels() -> None:
    assert TRANSFER_SYNTAXES[0] == EXPLICIT
    assert len(set(TRANSFER_SYNTAXES)) == len(TRANSFER_SYNTAXES)
    lossy = [place for place, uid in enumerate(TRANSFER_SYNTAXES) if uid.endswith((".91", ".203", ".81", ".51", ".50"))]
    assert lossy == list(
        range(TRANSFER_SYNTAXES.index(IMPLICIT) + 1, len(TRANSFER_SYNTAXES))
    )  # after all lossless ones


def test_all_classes_are_more_than_those_of_radiographs() -> None:
    assert set(RADIOGRAPHS) < set(storage_classes(every=True))


@pytest.mark.parametrize(
    ("said", "title", "address", "may"),
    [
        ("CR1", "CR1", "10.0.0.1", True),
        ("CR1", "cr1", "10.0.0.1", False),
        ("CR1@10.0.0.1", "CR1", "10.0.0.1", True),
        ("CR1@10.0.0.1", "CR1", "::ffff:10.0.0.1", True),
        ("CR1@10.0.0.1", "CR1", "10.0.0.2", False),
        ("CR1@10.0.0.0/24", "CR1", "10.0.0.2", True),
        ("CR1@10.0.0.0/24", "CR1", "10.0.1.2", False),
        ("CR1@localhost", "CR1", "127.0.0.1", True),
        ("CR1@no-such-host.invalid", "CR1", "127.0.0.1", False),
        ("A@B@10.0.0.1", "A@B", "10.0.0.1", True),
    ],
)
def test_peers(said: str, title: str, address: str, may: bool) -> None:
    assert (rejection_reason([AllowedPeer("OTHER"), AllowedPeer.parse(said)], title, address) is None) == may


def test_without_peers_everyone_may() -> None:
    assert rejection_reason([], "ANY", "10.0.0.1") is None


def test_peers_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "peers"
    file.write_text("# modalities\nCR1\n  DX2@10.1.0.0/16  # room 2\n\n")
    assert read_peers(["PACS@pacs"], file) == (
        AllowedPeer("PACS", "pacs"),
        AllowedPeer("CR1"),
        AllowedPeer("DX2", "10.1.0.0/16"),
    )
    file.write_text("CR1\nA@\n")
    with pytest.raises(UsageError, match=f"--peers {file}: A@"):
        read_peers([], file)
    file.write_text("# nobody\n")
    with pytest.raises(UsageError, match="names none"):
        read_peers([], file)
    with pytest.raises(InputMissing):
        read_peers([], tmp_path / "absent")


@pytest.mark.parametrize("said", ["", "  ", "SEVENTEEN_LETTERS", "Ä", "A\\B", "A@", "@host", "A@10.0.0/33", "A\tB"])
def test_what_is_no_peer_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="--peer"):
        AllowedPeer.parse(said)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("PACS@10.0.0.5:104", "10.0.0.5"),
        ("PACS@pacs.example.org:11112", "pacs.example.org"),
        ("PACS@[fe80::1]:104", "[fe80::1]"),
        ("PACS@pacs example", "neither a host name nor an IP address"),
        ("PACS@10.0.0.1-9", "neither a host name nor an IP address"),
    ],
)
def test_field_13_a_peer_is_named_without_its_port(said: str, right: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--peer {re.escape(said)}") as told:
        AllowedPeer.parse(said)
    assert right in str(told.value)
    (tmp_path / "peers").write_text(f"CR1\n{said}\n")
    with pytest.raises(UsageError, match=re.escape(said)):
        read_peers([], tmp_path / "peers")


def test_field_13_addresses_of_ipv6_are_peers_with_brackets_or_without() -> None:
    for said in ("PACS@[fe80::1]", "PACS@fe80::1"):
        assert rejection_reason([AllowedPeer.parse(said)], "PACS", "fe80::1") is None
    assert AllowedPeer.parse("PACS@pacs_1.example.org").host == "pacs_1.example.org"


def test_field_13_an_address_is_no_ae_title() -> None:
    for said in ("RR@h:104", "RR@[::1]:104"):
        with pytest.raises(UsageError, match="the AE title alone is meant, RR"):
            check_title(said, "--move-to")
    assert check_title("A@B", "--ae-title") == "A@B"


def test_field_13_where_a_node_listens_is_a_host(inside: Callable[..., Run]) -> None:
    done = inside("receive", "--host", "127.0.0.1:11112", check=False)
    assert (done.returncode, "--port" in done.stderr) == (2, True)
    done = inside("receive", "--peer", "PACS@10.0.0.5:104", check=False)
    assert (done.returncode, "the form is PACS@10.0.0.5" in done.stderr) == (2, True)
    assert check_host("[::1]", "--host", "") == "::1"


def test_an_ae_title_loses_the_spaces_around_it() -> None:
    assert check_title(" MY AE ", "--ae-title") == "MY AE"


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.pem"):
        server_context(tmp_path / "absent.pem", None, None)
    (tmp_path / "text.pem").write_text("no certificate")
    with pytest.raises(UsageError, match=r"text\.pem"):
        server_context(tmp_path / "text.pem", None, None)
