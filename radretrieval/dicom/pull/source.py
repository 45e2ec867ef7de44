"""A node that has images: what a pull asks of it, over DICOMweb or DIMSE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from radretrieval.errors import EnvironmentUnusable, ImageError, RadretrievalError

LONGEST_UID = 64  # PS3.5, 9.1


class PeerUnusable(EnvironmentUnusable):
    """The peer cannot be reached, or lets us in no more: nothing further can be had from it."""


class Denied(PeerUnusable):
    """The peer does not take our credentials."""


class NotListed(RadretrievalError):
    """The peer did not answer one question, or not in full; others it may answer."""


class NotFetched(ImageError):
    """The peer did not give one instance; others it may give."""


class NotThere(NotFetched):
    """The peer does not have this instance."""


@dataclass(frozen=True)
class Study:
    """A study as its peer lists it.

    uid : Study Instance UID. date : Study Date, None where it has none. modalities : in the study, where told.
    instances : how many it has, where told.
    """

    uid: str
    date: date | None = None
    modalities: tuple[str, ...] = ()
    instances: int | None = None


@dataclass(frozen=True)
class Instance:
    """An instance as its peer lists it: UIDs of study, series, instance and SOP class; what is not told is None."""

    study: str
    series: str
    uid: str
    sop_class: str | None = None
    modality: str | None = None


class Peer(Protocol):
    """One node. Its methods may be called from several threads; each raises PeerUnusable when the node is away.

    Attributes
    ----------
    origin : what its images have as `origin`. window_days : how many days of studies to ask for at once.
    sends : whether it sends files to a `receive` of ours, which makes images of them, instead of giving them to us.
    """

    origin: str
    window_days: int
    sends: bool

    def studies(self, filters: Mapping[str, str], first: date | None, last: date | None) -> Iterator[Study]:
        """Studies that match, of these days (both included, None is open), each once. Raises NotListed."""

    def instances(self, study: Study) -> list[Instance]:
        """The instances of a study, each once. Raises NotListed unless all of them could be told."""

    def has(self, uid: str, study: str | None) -> bool:
        """Whether it has the instance with this SOP Instance UID, asked for alone. Raises NotListed."""

    def fetch(self, instance: Instance) -> bytes | None:
        """The file of an instance, None if it was sent another way. Raises NotFetched, NotThere."""

    def place(self, instance: Instance) -> str:
        """The name of an instance for people, and for the table of failures."""

    def uri(self, instance: Instance, sha256: bytes) -> str:
        """What the image of a file from here has as its uri."""

    def close(self) -> None:
        """Leave it."""


def legal_uid(said: object) -> str | None:
    """A UID as a peer said it, if it can be one: whoever sends more than 64 characters is not believed."""
    text = str(said or "").strip(" \0")
    return text if 0 < len(text) <= LONGEST_UID and text.isascii() and text.isprintable() else None


def day(said: object) -> date | None:
    """A DICOM date (PS3.5, 6.2 DA); None for anything else."""
    try:
        return date.fromisoformat(str(said or "").strip()[:8])
    except ValueError:
        return None


def date_range(first: date | None, last: date | None) -> str | None:
    """A range of dates to match (PS3.4, C.2.2.2.5); None where it is open on both sides."""
    if first is None and last is None:
        return None
    return "-".join("" if one is None else one.isoformat().replace("-", "") for one in (first, last))
