"""Every setting is in docs/configuration.md, with its real default."""

from __future__ import annotations

from configuration_reference import PAGE, meanings, real
from generated import written

from radretrieval.config import ServeSettings, Settings


def test_the_reference_is_of_the_real_settings() -> None:
    told = written(PAGE.read_text(encoding="utf-8"))
    assert told == real(), "the settings changed: run python packaging/configuration_reference.py --write"


def test_every_setting_has_a_row_and_a_meaning() -> None:
    for kind, prefix in ((Settings, "RADRETRIEVAL_"), (ServeSettings, "RADRETRIEVAL_SERVE_")):
        assert meanings(kind.__doc__ or "").keys() == kind.model_fields.keys()
        for name in kind.model_fields:
            assert real().count(f"\n| `{prefix}{name.upper()}` |") == 1


def test_the_values_of_a_choice_are_named() -> None:
    (row,) = [line for line in real().splitlines() if line.startswith("| `RADRETRIEVAL_KEEP`")]
    assert all(f"`{value}`" in row for value in ("reference", "copy", "reduced"))


def test_meanings_are_read_from_the_docstring() -> None:
    text = """What.

    Attributes
    ----------
    first : a meaning
        of two lines.
    second : another; `first` too.
    """
    assert meanings(text) == {"first": "a meaning of two lines.", "second": "another; `first` too."}
