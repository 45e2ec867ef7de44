"""`radretrieval serve` in a process of its own, on the archive that tests of the page share."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable

from conftest import Run
from databases import Server
from serving import Films, Served, serving

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


def test_what_keeps_it_from_starting_is_one_line(cli: Callable[..., Run], empty_database_url: str) -> None:
    for url, said in ((empty_database_url, "radretrieval db upgrade"), ("postgresql://x@127.0.0.1:1/none", "refused")):
        run = cli("serve", "--port", 0, url=url, check=False)
        assert (run.returncode, run.stderr.count("\n"), run.stderr[:7]) == (3, 1, "error: "), run.stderr
        assert said in run.stderr


def test_a_signal_ends_it_without_an_error(films: Films, server: Server) -> None:
    with films.copy(server) as url, serving(films, url) as served:
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0
    assert len(served.told) == 1, served.told


def test_threads_that_are_the_first_to_read_dicom_do_not_get_half_a_module() -> None:
    script = """
import threading, radretrieval.serve.service
failed, begin = [], threading.Barrier(3)
def load(line):
    begin.wait()
    try: exec(line)
    except Exception as error: failed.append(error)
lines = ["from pydicom.filereader import read_dataset"] * 2 + ["from pydicom.uid import UID"]
threads = [threading.Thread(target=load, args=(line,)) for line in lines]
for one in threads: one.start()
for one in threads: one.join()
assert not failed, failed
"""
    subprocess.run([sys.executable, "-c", script], check=True)
