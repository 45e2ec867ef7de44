"""TLS of the node, with DCMTK's senders: who has the right certificates is let in, and nobody else holds the door."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes import Receiving, a_file, call, until
from programs import needs_program
from pynetdicom import AE
from tls_front import authority


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_program("openssl", "storescu", "echoscu")
    folder = tmp_path_factory.mktemp("papers")
    authority(folder, "ours")
    authority(folder, "other")
    return folder


@pytest.fixture
def node(archive_url: str, tmp_path: Path, papers: Path) -> Iterator[Receiving]:
    tls = ("--tls-cert", papers / "ours.pem", "--tls-key", papers / "ours.key", "--tls-ca", papers / "ours-ca.pem")
    with Receiving(tmp_path / "home", archive_url, "--no-intake", *tls) as running:
        yield running


def test_tls(node: Receiving, papers: Path, tmp_path: Path) -> None:
    a_file(tmp_path / "1.dcm")
    where = ("-v", "-aec", "RADRETRIEVAL", "127.0.0.1", node.port)

    def with_papers(name: str) -> tuple[object, ...]:
        return ("+tls", papers / f"{name}.key", papers / f"{name}.pem", "+cf", papers / "ours-ca.pem")

    # a connection that never says anything does not keep the others from their handshake
    with socket.create_connection(("127.0.0.1", node.port)):
        call("echoscu", *with_papers("ours"), *where)
        call("storescu", *with_papers("ours"), *where, tmp_path / "1.dcm")
    assert len(node.rows("SELECT FROM arrival")) == 1

    assert call("echoscu", *with_papers("other"), *where, check=False).returncode != 0
    node.logged(r"127\.0\.0\.1: no TLS connection: .*verify failed")
    assert call("echoscu", "+tla", "+cf", papers / "ours-ca.pem", *where, check=False).returncode != 0
    node.logged(r"no TLS connection: .*did not return a certificate")
    assert call("echoscu", *where, check=False).returncode != 0  # in the clear
    node.logged(r"no TLS connection: .*(WRONG_VERSION|HTTP_REQUEST|wrong version)")
    # nor does the sender take a node whose certificate it does not know
    strange = ("+tls", papers / "ours.key", papers / "ours.pem", "+cf", papers / "other-ca.pem")
    assert call("echoscu", *strange, *where, check=False).returncode != 0
    # an association that is silent is told that the node stops, within the encryption
    context = ssl.create_default_context(cafile=papers / "ours-ca.pem")
    context.check_hostname = False
    context.load_cert_chain(papers / "ours.pem", papers / "ours.key")
    ae = AE("SENDER")
    ae.add_requested_context("1.2.840.10008.1.1")
    opened = ae.associate("127.0.0.1", node.port, ae_title="RADRETRIEVAL", tls_args=(context, "localhost"))
    assert opened.is_established
    assert node.stop() == 0
    node.logged("SENDER at 127.0.0.1: the association is aborted: this node stops")
    until(lambda: opened.is_aborted, "it is aborted")
