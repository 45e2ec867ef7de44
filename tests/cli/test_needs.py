"""An option that is about another one is refused without it, and never ignored in silence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from command_names import command_names
from conftest import Run
from typer.main import get_command

from radretrieval.cli.app import app

# command, its other words, the option with its value, and what it goes with
CASES: list[tuple[str, tuple[str, ...], tuple[str, ...], str]] = [
    ("search", ("id:1",), ("--deadline", "9"), "--site"),
    ("search", ("id:1",), ("--require-all",), "--site"),
    ("search", ("id:1",), ("--roi-method", "paper"), "--roi"),
    ("search", ("id:1",), ("--roi-polarity", "either"), "--roi"),
    ("search", ("id:1",), ("--ae-title", "US"), "--store-to"),
    ("ingest", (".",), ("--settle", "0"), "--watch"),
    ("ingest", ("--failed",), ("--settle", "5"), "--watch"),
    ("ingest", (".",), ("--move-to", "."), "--watch"),
    ("withdraw", ("--image", "1"), ("--issuer", "A"), "--patient"),
    ("withdraw", ("--study", "1.2"), ("--issuer", "A"), "--patient"),
    ("forget", ("--image", "1"), ("--issuer", "A"), "--patient"),
    ("forget", (), ("--issuer", "A"), "--patient"),
    ("forget", ("--image", "1"), ("--origin", "A"), "--older-than"),
    ("backup", ("kept",), ("--scratch", "postgresql:///x"), "--verify"),
    ("backup", ("kept",), ("--passphrase-file", "words"), "--keys"),
    ("restore", ("kept",), ("--passphrase-file", "words"), "--keys"),
    ("export", ("out",), ("--key", "key"), "--deidentify"),
    ("export", ("out",), ("--accept-burned-in",), "--deidentify"),
    ("db upgrade", (), ("--from", "0001"), "--sql"),
    ("receive", (), ("--tls-key", "key.pem"), "--tls-cert"),
    ("receive", (), ("--tls-ca", "ca.pem"), "--tls-cert"),
    ("index build", ("--kind", "hnsw"), ("--anchors", "9"), "--kind"),
]


@pytest.mark.parametrize(
    ("command", "words", "option", "other"),
    CASES,
    ids=[f"{case[0]} {' '.join(case[1])} {case[2][0]}" for case in CASES],
)
def test_an_option_that_needs_another_is_refused_without_it(
    command: str, words: tuple[str, ...], option: tuple[str, ...], other: str, inside: Callable[..., Run]
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/away"  # refused before the database is asked
    ended = inside(*command.split(), *words, *option, url=away, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert {option[0], other} <= set(re.findall(r"--[a-z-]+", ended.stderr)), ended.stderr


def test_every_option_whose_help_names_another_first_is_among_them() -> None:
    assert set(named_first()) <= {(command, option[0], other) for command, _, option, other in CASES}


def named_first() -> Iterator[tuple[str, str, str]]:
    """Command, option and other one, where the help of an option begins with `With --other`."""
    for name in command_names():
        command = get_command(app)
        for word in name.split():
            command = command.commands[word]  # type: ignore[attr-defined]
        for one in command.params:
            if found := re.match(r"With (--[a-z-]+):", getattr(one, "help", None) or ""):
                yield name, one.opts[0], found[1]
