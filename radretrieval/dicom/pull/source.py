"""A node or server that images are pulled from: what a pull needs of it, over DICOMweb or DIMSE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from radretrieval.errors import RadretrievalError

LONGEST_UID = 64  # PS3.5, 9.1


class NotListed(RadretrievalError):
    """The source did not answer one query, or not in full; others it may answer."""


class Refused(NotListed):
    """The source refuses a query as it is; one for fewer studies, or with fewer attributes, it may answer."""


@dataclass(frozen=True)
class Study:
    """A study as its source lists it.

    uid : Study Instance UID, empty where it lists none that can be used. date : Study Date, None where it has none.
    modalities : in the study, where known. instances : how many it has, where known.
    """

    uid: str
    date: date | None = None
    modalities: tuple[str, ...] = ()
    instances: int | None = None


@dataclass(frozen=True)
class Instance:
    """An instance as its source lists it: UIDs of study, series, instance and SOP class; None is unknown.

    Without `uid` there are instances of the study that the source cannot list.
    """

    study: str
    series: str
    uid: str
    sop_class: str | None = None
    modality: str | None = None


class PullSource(Protocol):
    """A source of images.

    Its methods may be called from several threads; each raises EnvironmentUnusable when the source cannot be reached.

    Attributes
    ----------
    origin : the `origin` of its images. window_days : how many days of studies to query at once.
    pages : whether a list comes whole, in pages; else it may be cut at a limit of the source.
    moves : whether `retrieve` has the source send the file to a `radretrieval receive` (C-MOVE), instead of returning
    it.
    """

    origin: str
    window_days: int
    pages: bool
    moves: bool

    def studies(self, filters: Mapping[str, str], first: date | None, last: date | None) -> Iterator[Study]:
        """List studies that match, dated `first` to `last` (inclusive, None is open), each once. Raises NotListed."""

    def instances(self, study: Study) -> list[Instance]:
        """List the instances of a study, each once. Raises NotListed unless the list is complete, or without a UID."""

    def find(self, uid: str, study: str | None) -> Instance | None:
        """Query for the instance with this SOP Instance UID, which was in that study. Raises NotListed.

        The UIDs of study and series are empty where the source does not say in which it is.
        """

    def retrieve(self, instance: Instance) -> bytes | None:
        """Return the file of an instance, None if the source sent it (`moves`). Raises NotFetched, NotThere."""

    def location(self, instance: Instance) -> str:
        """Return what names an instance in messages and in the table of failures; it ends with its UIDs."""

    def image_uri(self, instance: Instance, sha256: bytes) -> str:
        """Return the `uri` that the image of a retrieved file gets."""

    def close(self) -> None:
        """Close all connections."""


def no_uid(origin: str, what: str) -> NotListed:
    """The error of studies, series or instances that the source cannot list, or lists without a valid UID."""
    return NotListed(f"{origin} has {what} that it cannot list, or lists without a UID; its log has the reason")


def valid_uid(value: object) -> str | None:
    """A UID of a response, None for what cannot be one: too long, or with characters beside ASCII."""
    text = str(value or "").strip(" \0")
    return text if 0 < len(text) <= LONGEST_UID and text.isascii() and text.isprintable() else None


def parse_date(value: object) -> date | None:
    """A DICOM date (PS3.5, 6.2 DA); None for anything else."""
    try:
        return date.fromisoformat(str(value or "").strip()[:8])
    except ValueError:
        return None


def date_range(first: date | None, last: date | None) -> str | None:
    """A range of dates to match (PS3.4, C.2.2.2.5); None where it is open on both sides."""
    if first is None and last is None:
        return None
    return "-".join("" if one is None else one.isoformat().replace("-", "") for one in (first, last))
