"""Replacements of identifiers in an export: HMACs under a secret key, equal in all exports with the same key.

Without the key a replacement cannot be computed from an identifier, nor a guessed identifier be tested. Each purpose
has its own sub-key, derived from the key: nothing about a UID or a shift of days follows from a pseudonym.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass, field
from datetime import date, timedelta

LONGEST_SHIFT = 3650  # days; dates are moved back by 1 to so many, never into the future
_DATE = re.compile(r"(\d{4})(\.?)(\d{2})\2(\d{2})")
# YYYYMMDD and the time of day behind it; a zone of its own at the end (PS3.5, 6.2)
_DATE_TIME = re.compile(r"(\d{8})((?:\d{2}){0,3}(?:\.\d{1,6})?(?:[+-]\d{4})?)")


@dataclass(frozen=True)
class KeyedReplacements:
    """Replacements under one key.

    Attributes
    ----------
    key : the secret, at least 16 bytes.
    """

    key: bytes = field(repr=False)

    def uid(self, old: str) -> str:
        """The replacement of a UID, of the form 2.25.<UUID as a number> (PS3.5, B.2)."""
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', old)[:16], version=4).int}"

    def pseudonym(self, subject: str) -> str:
        """The replacement of a patient: 32 hexadecimal digits."""
        return self._digest("patient", subject)[:16].hex()

    def name(self, content: str) -> str:
        """A file name in place of the SHA-256 of its content: 32 hexadecimal digits."""
        return self._digest("file", content)[:16].hex()

    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the key and do not reveal it."""
        return self._digest("fingerprint", "")[:8].hex()

    def days(self, subject: str) -> int:
        """The number of days, 1 to `LONGEST_SHIFT`, that all dates of a patient are moved back by."""
        return 1 + int.from_bytes(self._digest("days", subject)[:8], "big") % LONGEST_SHIFT

    def date(self, subject: str, day: date) -> date | None:
        """A day moved back; None where it would be before the year 1."""
        try:
            return day - timedelta(days=self.days(subject))
        except OverflowError:
            return None

    def dicom_date(self, subject: str, text: str) -> str:
        """A DICOM value DA moved back, as YYYYMMDD; empty where the value is not a date."""
        found = _DATE.fullmatch(text.strip("\0 "))
        if found is None:
            return ""
        try:
            moved = self.date(subject, date(int(found[1]), int(found[3]), int(found[4])))
        except ValueError:
            return ""
        return "" if moved is None else f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"

    def dicom_date_time(self, subject: str, text: str) -> str:
        """A DICOM value DT moved back by whole days; empty where the value is not a date and time, or has no day."""
        found = _DATE_TIME.fullmatch(text.strip("\0 "))
        moved = self.dicom_date(subject, found[1]) if found else ""
        return moved + found[2] if found and moved else ""

    def _digest(self, purpose: str, text: str) -> bytes:
        subkey = hmac.new(self.key, b"radretrieval export " + purpose.encode(), hashlib.sha256).digest()
        return hmac.new(subkey, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
