"""Text that somebody else wrote reaches a terminal, a log or a JSON line without anything that acts there."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.files.regular import open_regular, read_regular
from radretrieval.files.text import LogFormatter, json_line, printable, printable_lines

# Colours and titles (ESC, and its form of one byte), bell, backspace, line ends of any kind, text that runs backwards,
# what has no width, what is not Unicode.
HOSTILE = "\x1b[31mRED\x1b]0;title\x07\x9b2J\b\r\n\u2028\u202egnp\u2066\u200b\ufeff\udcff\x00\x7f"


@given(st.text() | st.just(HOSTILE))
def test_what_is_printed_is_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    assert printable_lines(text).replace("\n", "").isprintable()
    line = json_line({"a": text, text: [text]})
    assert line.isprintable()
    assert json.loads(line) == {"a": text, text: [text]}


def test_a_record_of_a_log_is_one_line_whatever_its_values_are() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter())
    log = logging.Logger("hostile")
    log.addHandler(handler)
    log.warning("%s came", HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("it failed")
    first, *others = stream.getvalue().splitlines()
    assert first.endswith("WARNING " + printable(HOSTILE) + " came")
    assert others[0].endswith("ERROR it failed")
    assert others[1].startswith("Traceback")
    assert all(line.isprintable() for line in others)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "nowhere" + HOSTILE.replace("\0", "")),
        ("search", "a", "b" + HOSTILE.replace("\0", "")),  # a usage error, which Click words
        ("ingest", "a.png", "--labels", "labels.csv"),
        ("-v", "ingest", "a.png", "--labels", "labels.csv"),
    ],
)
def test_an_error_acts_on_no_terminal(inside: Callable[..., Run], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "labels.csv").write_text("name\x1b[31m\x9b2J\u202e,code\na,b\n", encoding="utf-8")
    done = inside(*arguments, check=False)
    assert done.returncode == 2
    assert r"\x1b" in done.stderr
    assert all(line.isprintable() for line in (done.stdout + done.stderr).split("\n"))


def test_a_file_from_elsewhere_is_regular_and_no_larger_than_it_may_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_regular(file, 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, and at most 4 are read"):
        read_regular(file, 4)
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(name)
