"""Names, numbers and days of the persons in a header, looked for in the short text that stays.

Of a name each word is looked for as a whole word, however short it is, and of five letters or more anywhere, whatever
stands between the letters; a text with one is dropped as a whole. Words of one or two letters are not looked for where
they are no trace: initials of given names, titles, published codes. Days are looked for in any order and writing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST_DEPTH = 50
# Attributes whose values are looked for, anywhere in a text where they have four characters or more.
_IDENTIFIERS = (
    *("PatientID", "OtherPatientIDs", "AccessionNumber", "DeviceSerialNumber", "StudyID"),
    *("InsurancePlanIdentification", "PatientTelephoneNumbers", "IssuerOfPatientID", "MedicalRecordLocator"),
    "AdmissionID",
)
_PATIENT_NUMBERS = ("PatientID", "OtherPatientIDs", "MedicalRecordLocator")
# Coding schemes that are published (PS3.16, table 8-1): a letter in their codes is no initial.
_PUBLISHED = frozenset(
    (
        *("DCM", "SCT", "SRT", "SNM3", "99SDM", "UCUM", "LN", "RADLEX", "FMA", "ICD10", "ICD11", "I10", "I9C", "ACR"),
        *("NCIt", "UMLS", "MDC", "RFC5646", "ISO3166_1", "ISO639_1", "ISO639_2", "C4", "C5", "BI", "DCMUID", "UNS"),
    )
)
_CODED = ("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion")
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]{3,}")  # of a word with digits in it
_BETWEEN = re.compile(r"[\W_]+")
# scripts without blanks: Thai, Lao, Burmese, Khmer, kana, ideographs, hangul
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_DAY = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_DAY_PARTS = re.compile(r"\d+|[^\W\d_]+")
# The first letters of the months, in English and neighbouring languages.
_MONTHS = {
    month: number
    for number, months in enumerate(
        (
            *("jan", "feb", "mar mär", "apr avr abr", "may mai mag", "jun"),
            *("jul", "aug", "sep", "oct okt ott", "nov", "dec dez dic déc"),
        ),
        1,
    )
    for month in months.split()
}
# Letters that do not decompose into one without a mark, and how those with a mark are written in full.
_UNMARKED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h", "ŧ": "t"}
)
_IN_FULL = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "đ": "dj"})


@dataclass(frozen=True)
class PatientText:
    """What is looked for.

    Attributes
    ----------
    words : whole words. short : those of them with one or two letters.
    parts : texts that are found anywhere: numbers, days, names in scripts without blanks.
    joined : texts that are found whatever stands between their letters: longer names and numbers.
    days : year, month and day of each day, ordered by size.
    """

    words: frozenset[str]
    short: frozenset[str]
    parts: tuple[str, ...]
    joined: tuple[str, ...]
    days: frozenset[tuple[int, ...]]

    @classmethod
    def of(cls, ds: Any) -> PatientText:
        """The names, numbers and days in a data set, nested ones too."""
        words: set[str] = set()
        numbers: set[str] = set()
        days: set[tuple[str, str, str]] = set()
        for element in elements(ds):
            values = [text.strip() for text in texts(element.value)]
            if element.VR == "PN":
                words.update(word for value in values for word in _name_words(value))
            elif element.VR in ("DA", "DT"):
                days.update((found[1], found[2], found[3]) for value in values if (found := _DAY.match(value)))
            elif element.keyword in _IDENTIFIERS:
                several = [_plain(one.strip()) for value in values for one in value.split("\\")]
                numbers.update(form for one in several for form in _number_forms(one) if len(form) >= 4)
                if element.keyword in _PATIENT_NUMBERS:
                    short = {one for one in several if 2 <= len(one) < 4}
                    words |= short
                    numbers |= {one for one in short if _BETWEEN.search(one)}
        unspaced = {word for word in words if _UNSPACED.search(word)}
        return cls(
            words=frozenset(words),
            short=frozenset(word for word in words if len(word) < 3),
            parts=tuple(sorted(numbers | unspaced | {day for one in days for day in _written_days(*one)})),
            joined=tuple(sorted({w for w in words if len(w) > 4} | {n for n in numbers if len(n) > 5})),
            days=frozenset(tuple(sorted(one)) for day in days for one in _day_numbers(*map(int, day))),
        )

    def shows(self, ds: Any, text: Any) -> bool:
        """Whether an element of short text in a data set has one of them."""
        published = text.keyword in _CODED and str(ds.get("CodingSchemeDesignator") or "") in _PUBLISHED
        return any(self._found_in(value, published) for value in texts(text.value))

    def in_number(self, number: str) -> bool:
        """Whether a whole number, as text, has a number of six digits or more, or a day."""
        return any(len(part) > 5 and part in number for part in self.parts)

    def in_uid(self, uid: str) -> bool:
        """Whether a component of a UID is a number of the patient, or has one of six digits or more, or a day."""
        return any(part in uid.split(".") for part in self.parts) or self.in_number(uid)

    def _found_in(self, text: str, published: bool) -> bool:
        plain = _plain(text)
        words = self.words - self.short if published else self.words
        here = {form for word in _WORD.findall(plain) + _LETTERS.findall(plain) for form in _spellings(word)}
        if not words.isdisjoint(here) or any(part in plain for part in self.parts):
            return True
        together = _spellings(_BETWEEN.sub("", plain))
        if any(part in form for part in self.joined for form in together):
            return True
        return not published and self._has_day(plain)

    def _has_day(self, plain: str) -> bool:
        """Whether three numbers that follow each other are a day, in any order, or six digits are."""
        found = _DAY_PARTS.findall(plain)
        values = [int(one) if one.isdecimal() else _MONTHS.get(one[:3], -1) for one in found]
        values_of_six = [[int(one[i : i + 2]) for i in (0, 2, 4)] for one in found if one.isdecimal() and len(one) == 6]
        threes = [*zip(values, values[1:], values[2:], strict=False), *values_of_six]
        return any(tuple(sorted(three)) in self.days for three in threes)


def elements(ds: Any, depth: int = 0) -> Iterator[Any]:
    """Every element that can be read, in nested data sets too."""
    for tag in list(ds.keys()):
        if (found := element(ds, tag)) is None:
            continue
        if found.VR != "SQ":
            yield found
        elif depth < MOST_DEPTH:
            for item in found.value or ():
                yield from elements(item, depth + 1)


def element(ds: Any, tag: Any) -> Any:
    """An element; None where it cannot be read."""
    try:
        return ds[tag]
    except Exception:  # pydicom raises anything on a value that its representation does not allow
        return None


def texts(value: Any) -> list[str]:
    """The values of an element as texts, without padding."""
    if value is None:
        return []
    several = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
    return [str(one).strip("\0 ") for one in several]


def _plain(text: str) -> str:
    """A text in one form: composed, without case."""
    return unicodedata.normalize("NFKC", text).casefold().replace("i\u0307", "i")  # of a Turkish capital I with a dot


def _number_forms(number: str) -> set[str]:
    """An identifier as it is, without what stands between its characters, and without zeros at the front."""
    bare = _BETWEEN.sub("", number)
    return {number, bare, bare.lstrip("0")}


def _name_words(name: str) -> set[str]:
    """The words of a PN value that are looked for, in their usual spellings (PS3.5, 6.2: groups, components).

    Those of a component also joined (O'Brien, van der Berg), and family with given name in both orders.
    """
    words: set[str] = set()
    for group in name.split("="):
        components = _plain(group).split("^")
        for place, component in enumerate(components):
            for word in {*_WORD.findall(component), *_LETTERS.findall(component)}:
                # an initial of a given name, and a title such as MD or II, is in many texts that are no trace
                initial = place > 0 and len(word) == 1 and word.isascii()
                if not initial and not (place > 2 and len(word) < 3) and not (len(word) < 3 and word.isdecimal()):
                    words |= _spellings(word)
        family, given, *_ = (*(_BETWEEN.sub("", component) for component in components[:2]), "", "")
        for joined in (family, given, family + given, given + family):
            words |= _spellings(joined) if len(joined) > 3 else set()
    return words


def _spellings(word: str) -> set[str]:
    """A word, and as it is written without accents, as in file names: Müller, Muller, Mueller."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))
    forms = {bare.translate(_UNMARKED), word.translate(_IN_FULL).translate(_UNMARKED)}
    # of Ö alone, an O is no trace
    return {word, *(form for form in forms if len(form) > 1)}


def _written_days(year: str, month: str, day: str) -> set[str]:
    """A day in the forms in which texts have days."""
    orders = ((year, month, day), (day, month, year), (month, day, year))
    return {sign.join(order) for order in orders for sign in ("", "-", ".", "/")}


def _day_numbers(year: int, month: int, day: int) -> tuple[tuple[int, int, int], ...]:
    """A day as numbers, with the year in four digits and in two."""
    return (year, month, day), (year % 100, month, day)
