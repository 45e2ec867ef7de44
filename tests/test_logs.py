"""The log: each call has an event that docs/operations.md lists; text for people, or one JSON object a line."""

from __future__ import annotations

import ast
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from conftest import Run

from radretrieval import logs
from radretrieval.cli.common import tell, tell_failures
from radretrieval.files.failures import FailureList

ROOT = Path(__file__).parents[1]
CALLS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
# What else speaks through the log: the command line by `say` and `tell`, whose events are arguments.
OF_COMMANDS = {"command_failed", "command_interrupted", "input_failed", "input_problem", "library", "notice"}
OF_COMMANDS |= {"service_ready", "traceback", "usage_refused"}


def calls(source: str) -> Iterator[tuple[int, str]]:
    """The line and the event of each call of `log`; the event is empty where there is none that can be read."""
    tree = ast.parse(source)
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        if isinstance(node.value, ast.Name) and "log" in node.value.id.lower() and node.attr in CALLS:
            call = called.get(id(node))
            event = call.args[0] if call is not None and len(call.args) == 2 else None
            yield node.lineno, str(event.value) if isinstance(event, ast.Constant) else ""
        if node.attr == "getLogger":
            call = called[id(node)]
            if not (call.args and isinstance(call.args[0], ast.Constant | ast.Name)) or "__name__" in ast.dump(call):
                yield node.lineno, ""


def listed() -> set[str]:
    section = (ROOT / "docs" / "operations.md").read_text().split("\n## Logs\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {event for row in rows for event in re.findall(r"`([a-z_]+)`", row)}


def test_every_call_has_an_event_that_the_docs_list() -> None:
    found: dict[str, str] = {}
    for path in sorted((ROOT / "radretrieval").rglob("*.py")):
        source = path.read_text()
        if path.name == "logs.py" or not re.search(r"log\.|getLogger", source):
            continue
        for line, event in calls(source):
            assert re.fullmatch("[a-z][a-z_]+", event), f"{path}:{line} logs without an event: docs/architecture.md"
            found[event] = f"{path}:{line}"
    assert found.keys() | OF_COMMANDS == listed(), "the table in docs/operations.md, Logs, is not that of the code"


@pytest.mark.parametrize(
    "call",
    [
        'log.warning("no event %s", error)',
        'log.warning(f"{error}", "message")',
        'log.exception("no event")',
        "timer(log.warning)",
        "logging.getLogger(__name__)",
    ],
)
def test_a_call_without_an_event_is_found(call: str) -> None:
    events = [event for _, event in calls(call)]
    assert events
    assert not all(re.fullmatch("[a-z][a-z_]+", event) for event in events)


@pytest.fixture
def started(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Callable[[], list[dict[str, Any]]]]]:
    """Start the log of this process as a command does; what it returns gives the lines so far."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def start(*arguments: str, level: int = logging.INFO) -> Callable[[], list[dict[str, Any]]]:
        root.handlers = []
        logs.start("json", level, arguments)
        return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield start
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_line_is_an_event_with_its_fields(started: Callable[..., Any]) -> None:
    lines = started()
    logs.Log("radretrieval.one").warning("one_thing", "%(count)d of\n%(name)s", count=3, name="a\x1b[1m\nb", none=None)
    logs.Log("radretrieval.one").debug("too_low", "no fields")
    try:
        raise ValueError("here")
    except ValueError:
        logs.Log("radretrieval.one").error("fault", "100 %", exc_info=True)
    (one, fault) = lines()
    now = datetime.fromisoformat(one.pop("time"))
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)
    assert one == {
        "level": "WARNING",
        "logger": "radretrieval.one",
        "event": "one_thing",
        "message": "3 of\na\\x1b[1m\\nb",
        "fields": {"count": 3, "name": "a\\x1b[1m\\nb", "none": None},
    }
    assert (fault["level"], fault["message"], fault["fields"]) == ("ERROR", "100 %", {})
    assert "ValueError: here" in fault["exception"]


def test_libraries_log_as_events_too(started: Callable[..., Any]) -> None:
    lines = started()
    warnings.warn("old", stacklevel=1)
    logging.getLogger("some.library").warning("an element of %s", "no kind")
    uvicorn.Config("app", log_config=None, log_level="warning")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    found = [(one["event"], one["logger"], one["message"].splitlines()[0]) for one in lines()]
    assert ("library", "some.library", "an element of no kind") in found
    assert ("library", "uvicorn.error", "Invalid HTTP request received.") in found
    assert [name for event, name, text in found if "UserWarning: old" in text and event == "library"] == ["py.warnings"]


def test_what_a_command_says_names_no_file(started: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "Zyxwv"
    folder.mkdir()
    lines = started("ingest", str(folder))
    tell(f"watching {folder}", "service_ready")
    tell_failures(FailureList([{"path": f"{folder}/Quorn.dcm", "error": "ImageError", "message": "is cut"}]))
    missing = {"path": f"{folder}/Q.png", "error": "InputMissing", "message": f"{folder}/Q.png does not exist"}
    tell_failures(FailureList([missing]))
    assert [(one["event"], one["message"]) for one in lines()] == [
        ("service_ready", "watching [argument 2]"),
        ("input_failed", "ImageError: is cut"),
        ("input_failed", "InputMissing: its file does not exist"),
    ]


def test_the_command_line_writes_nothing_but_json(inside: Callable[..., Run]) -> None:
    for words, environment, code, event in (
        (("--log-format", "json", "-v", "ingest", "nowhere/Quorn.dcm"), {}, 2, "command_failed"),
        (("work", "--no-such"), {"RADRETRIEVAL_LOG_FORMAT": "json"}, 2, "usage_refused"),
    ):
        done = inside(*words, check=False, **environment)
        found = [json.loads(line) for line in done.stderr.splitlines()]
        assert (done.returncode, found[-1]["event"]) == (code, event), done.stderr
        assert "Quorn" not in done.stderr
