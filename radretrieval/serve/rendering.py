"""Pages as HTML: templates, with texts, numbers and dates as the reader's language has them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from radretrieval.report.likelihood import percent

FOLDER = Path(__file__).parent
# Of each language its texts, which the page's scripts have too.
TEXTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "page" / "texts").glob("*"))
}
LANGUAGE, THEME, KEYS = (
    f"radretrieval-{name}" for name in ("language", "theme", "keys")
)  # cookies: what readers chose
YEAR_SECONDS = 365 * 86_400
_UNITS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Words:
    """Texts of a language by their keys, and what numbers and dates are in it."""

    language: str

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with these values in it."""
        text: str = TEXTS[self.language][key]
        return text.format(**values)

    def word(self, value: object) -> str:
        """A word of the service, as `hnsw` or True; as it is where there is no text for it."""
        found: str = TEXTS[self.language].get(f"it_{str(value).lower()}", str(value))
        return found

    def status(self, status: int) -> str:
        """What a status of HTTP means."""
        known = (f"status{status}", "status400" if status < 500 else "status500")
        return self(next(key for key in known if key in TEXTS[self.language]))

    def refused(self, said: str) -> str:
        """What the service refuses, in this language where it has it."""
        texts: dict[str, str] = TEXTS[self.language]["refused"]
        for pattern, text in texts.items():
            if found := re.fullmatch(pattern, said):
                return text.format(said, *found.groups())
        return said

    def number(self, value: float, digits: int = 0) -> str:
        """A number with so many decimals."""
        english = f"{value:,.{digits}f}"
        return english if self.language == "en" else english.translate({ord(","): ".", ord("."): ","})

    def share(self, value: float, digits: int = 1) -> str:
        """A share in percent."""
        return f"{self.number(100 * value, digits)}\u00a0%"

    def size(self, count: int) -> str:
        """So many bytes, in a unit that fits."""
        step = min((max(count, 1).bit_length() - 1) // 10, 4)
        return f"{self.number(count / 1024**step, int(step > 1))} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}"

    def percent(self, probability: float) -> str:
        """A probability in percent, never 0 or 100."""
        return percent(probability).replace(" ", "\u00a0")

    def step(self, probability: float) -> int:
        """Of the steps that have words, the one of a probability, as its least percent."""
        return next(least for least in (95, 75, 25, 5, 0) if 100 * probability >= least)

    def day(self, value: date | str) -> str:
        """A date; as text it is an ISO one."""
        value = date.fromisoformat(value) if isinstance(value, str) else value
        return f"{value:%b} {value.day}, {value.year}" if self.language == "en" else f"{value:%d.%m.%Y}"

    def ago(self, moment: datetime) -> str:
        """How long ago a moment was."""
        seconds = max((datetime.now(UTC) - moment).total_seconds(), 1)
        unit = next(unit for unit, least in _UNITS.items() if seconds >= least)
        count = int(seconds // _UNITS[unit])
        text: str = TEXTS[self.language]["ago"][unit][count > 1]
        return text.format(n=count)


def utc(moment: datetime) -> str:
    """A moment, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_TEMPLATES.filters["utc"] = utc


def page(
    request: Request, name: str, status: int = 200, headers: Any = None, *, problem: str | None = None, **values: Any
) -> HTMLResponse:
    """A page in the language of the request: `lang` in its address, what the reader chose before, or the browser's.

    Parameters
    ----------
    name : of its template. problem : why there is nothing else on it. values : of the template.
    """
    chosen = request.query_params.get("lang") or request.cookies.get(LANGUAGE)
    language = chosen if chosen in TEXTS else language_of(request.headers.get("accept-language", ""))
    other = next(name for name in TEXTS if name != language)
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    theme = request.cookies.get(THEME)
    text = _TEMPLATES.get_template(f"{name}.html").render(
        t=Words(language),
        texts=TEXTS[language],
        language=language,
        other=other,
        in_other=f"?{urlencode([*asked, ('lang', other)])}",
        status=status,
        problem=problem,
        theme=theme if theme in ("dark", "light") else "",
        name=name,
        who=request.state.caller,
        **values,
    )
    response = HTMLResponse(text, status, headers)
    if "lang" in request.query_params:
        response.set_cookie(LANGUAGE, language, YEAR_SECONDS, path=None, samesite="lax")  # of the page's folder
    return response


def language_of(accepted: str) -> str:
    """Which of our languages a browser wants first; English where it names none of them."""
    wanted = []
    for one in accepted[:1000].lower().split(","):
        name, _, rest = one.strip().partition(";")
        found = re.fullmatch(r"\s*q=([01](\.\d{0,3})?)", rest)
        wanted.append((-float(found[1]) if found else -1.0, name.partition("-")[0]))
    return next((name for _, name in sorted(wanted, key=lambda one: one[0]) if name in TEXTS), "en")
