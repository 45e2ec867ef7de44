"""The routes in docs/api.md, made from the OpenAPI document of the application.

python packaging/api_reference.py            prints them
python packaging/api_reference.py --write    puts them between the markers of docs/api.md
"""

from __future__ import annotations

from pathlib import Path

from generated import main

from radretrieval.config import ServeSettings, Settings
from radretrieval.serve.app import create_app

PAGE = Path(__file__).parents[1] / "docs" / "api.md"


def real() -> str:
    """A table of all routes of the API, as the page has it."""
    document = create_app(Settings(), ServeSettings()).openapi()
    lines = ["| route | what it does |", "| --- | --- |"]
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            told = " ".join(operation["description"].split()).partition(". ")[0].rstrip(".")
            lines.append(f"| `{method.upper()} {path}` | {told} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(PAGE, real())
