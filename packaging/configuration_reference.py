"""The reference of the settings in docs/configuration.md, made from the classes of `radretrieval.config`.

python packaging/configuration_reference.py            prints it
python packaging/configuration_reference.py --write    puts it between the markers of docs/configuration.md
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from generated import main
from pydantic import ByteSize
from pydantic_settings import BaseSettings

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
# Their default is computed, and another one for each user.
COMPUTED = {"home": "the user's data folder; of root: `/var/lib/radretrieval`"}


def meanings(docstring: str) -> dict[str, str]:
    """What the section Attributes of a docstring says of each name, on one line each."""
    section = inspect.cleandoc(docstring).partition("Attributes\n----------\n")[2]
    found = re.findall(r"^(\w+) : (.*(?:\n +.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def default(name: str, field: Any) -> str:
    """The default of a setting, as a person would write it."""
    if name in COMPUTED:
        return COMPUTED[name]
    value = field.default
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, ByteSize):
        return value.human_readable(separator=" ").replace(".0 ", " ")
    if isinstance(value, float):
        return f"{value:g}"
    return f"`{value}`" if isinstance(value, str) else f"{value}"


def variable(word: str, kind: type[BaseSettings]) -> str:
    """The environment variable of a setting; any other word as it is."""
    return f"{kind.model_config.get('env_prefix')}{word.upper()}" if word in kind.model_fields else word


def rows(kind: type[BaseSettings]) -> list[str]:
    """A table of these settings."""
    told = meanings(kind.__doc__ or "")
    lines = ["| variable | meaning | default |", "| --- | --- | --- |"]
    for name, field in kind.model_fields.items():
        meaning = re.sub(r"`(\w+)`", lambda word: f"`{variable(word[1], kind)}`", told[name])
        lines.append(f"| `{variable(name, kind)}` | {meaning[0].upper()}{meaning[1:]} | {default(name, field)} |")
    return lines


def real() -> str:
    """The reference of this checkout's settings."""
    from radretrieval.config import ServeSettings, Settings

    served = "Of [`radretrieval serve`](serve.md) alone:"
    return "\n".join([*rows(Settings), "", served, "", *rows(ServeSettings)])


if __name__ == "__main__":
    main(PAGE, real())
