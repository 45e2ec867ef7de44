"""Tables for people."""

import subprocess
import sys

import pytest

from radretrieval.report.table import key_values, table, text


def test_figures_stand_right_and_words_left(capsys: pytest.CaptureFixture[str]) -> None:
    table(["name", "images", "error"], [["train", 12_000, 0.5], ["a longer name", 7, None]], title="Splits")
    assert capsys.readouterr().out.splitlines() == [
        "Splits",
        "name            images   error",
        "──────────────────────────────",
        "train            12000     0.5",
        "a longer name        7       -",
    ]


def test_align_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    table(["id", "name"], [[1, "a"], [22, "bbbb"]], align="lr")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("1 ")
    assert lines[2].endswith("   a")


def test_nothing_is_cut_or_coloured_in_a_pipe_of_any_width() -> None:
    code = (
        "from radretrieval.report.table import table\n"
        "table(['uri', 'n'], [['/long' * 100 + '[red]x[/red] 1.5 http://h', 1]])\n"
    )
    environment = {"COLUMNS": "20", "FORCE_COLOR": "1", "PYTHONIOENCODING": "utf-8", "PATH": ""}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True, text=True)
    assert "/long" * 100 + "[red]x[/red] 1.5 http://h" in run.stdout
    assert "\x1b" not in run.stdout
    assert len(run.stdout.splitlines()) == 3


def test_an_empty_table_still_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    table(["a", "b"], [])
    assert capsys.readouterr().out.splitlines()[0].split() == ["a", "b"]


def test_key_values_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    key_values([("images", 2561), ("revision", "0001"), ("pending", None)])
    assert capsys.readouterr().out == "images    2561\nrevision  0001\npending   -\n"
    key_values([])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("cell", "shown"),
    [(None, "-"), (True, "yes"), (False, "no"), (1234567, "1234567"), (0.00012345, "0.0001234"), (2.0, "2"),
     (168.05, "168.05"), (12345.6, "12345.60"), (float("nan"), "nan"), ("x", "x")],
)  # fmt: skip
def test_cells_as_people_read_them(cell: object, shown: str) -> None:
    assert text(cell) == shown
