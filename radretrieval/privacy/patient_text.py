"""Names, numbers and days of the persons in a header, looked for in the short text that stays.

Of a name each word is looked for as a whole word, however short it is; a text with one is dropped as a whole. Words of
one or two letters are not looked for where they are no trace: initials of given names, titles, published codes.
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
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")  # kana, ideographs, hangul
_DAY = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")


@dataclass(frozen=True)
class PatientText:
    """What is looked for.

    Attributes
    ----------
    words : whole words. short : those of them with one or two letters.
    parts : texts that are found anywhere: numbers, days, names in scripts without blanks.
    """

    words: frozenset[str]
    short: frozenset[str]
    parts: tuple[str, ...]

    @classmethod
    def of(cls, ds: Any) -> PatientText:
        """The names, numbers and days in a data set, nested ones too."""
        words: set[str] = set()
        parts: set[str] = set()
        for element in elements(ds):
            values = [text.strip() for text in texts(element.value)]
            if element.VR == "PN":
                for value in values:
                    words |= _name_words(value)
            elif element.VR in ("DA", "DT"):
                parts.update(day for value in values for day in _written_days(value))
            elif element.keyword in _IDENTIFIERS:
                several = [one.strip() for value in values for one in value.split("\\")]
                parts.update(_plain(one) for one in several if len(one) >= 4)
                if element.keyword in _PATIENT_NUMBERS:
                    words.update(_plain(one) for one in several if 2 <= len(one) < 4)
        parts |= {word for word in words if _UNSPACED.search(word)}
        return cls(frozenset(words), frozenset(word for word in words if len(word) < 3), tuple(sorted(parts)))

    def shows(self, ds: Any, text: Any) -> bool:
        """Whether an element of short text in a data set has one of them."""
        published = text.keyword in _CODED and str(ds.get("CodingSchemeDesignator") or "") in _PUBLISHED
        words = self.words - self.short if published else self.words
        return any(self._found_in(value, words) for value in texts(text.value))

    def _found_in(self, text: str, words: frozenset[str]) -> bool:
        plain = _plain(text)
        if not words.isdisjoint(_WORD.findall(plain) + _LETTERS.findall(plain)):
            return True
        return any(part in plain for part in self.parts)


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
    return unicodedata.normalize("NFKC", text).casefold()


def _name_words(name: str) -> set[str]:
    """The words of a PN value that are looked for, in their usual spellings (PS3.5, 6.2: groups, components)."""
    words: set[str] = set()
    for group in name.split("="):
        for place, component in enumerate(_plain(group).split("^")):
            for word in {*_WORD.findall(component), *_LETTERS.findall(component)}:
                # an initial of a given name, and a title such as MD or II, is in many texts that are no trace
                initial = place > 0 and len(word) == 1 and word.isascii()
                if not initial and not (place > 2 and len(word) < 3) and not (len(word) < 3 and word.isdecimal()):
                    words |= _spellings(word)
    return words


def _spellings(word: str) -> set[str]:
    """A word, and as it is written without accents, as in file names: Müller, Muller, Mueller."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))
    written = word.translate({ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue", ord("å"): "aa", ord("ø"): "oe"})
    # of Ö alone, an O is no trace
    return {word, *(other for other in (bare, written) if len(other) > 1)}


def _written_days(value: str) -> set[str]:
    """A day of a DA or DT value in the forms in which texts have days; none for what is no day."""
    found = _DAY.match(value)
    if found is None:
        return set()
    year, month, day = found.groups()
    orders = ((year, month, day), (day, month, year), (month, day, year))
    return {sign.join(order) for order in orders for sign in ("", "-", ".", "/")}
