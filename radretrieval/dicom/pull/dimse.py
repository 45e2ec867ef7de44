"""A node without DICOMweb: what it has (C-FIND, PS3.4 C.4.1) and the files (C-GET, C.4.3; or C-MOVE, C.4.2)."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from radretrieval.dicom.pull.source import (
    Instance,
    NotFetched,
    NotListed,
    NotThere,
    PeerUnusable,
    Study,
    date_range,
    day,
    legal_uid,
)
from radretrieval.dicom.sop_classes import RADIOGRAPHS
from radretrieval.dicom.transfer_syntaxes import LOSSLESS, TRANSFER_SYNTAXES
from radretrieval.errors import UsageError
from radretrieval.files.uris import store_uri

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2."  # + 1 FIND, 2 MOVE, 3 GET (PS3.4, C.6.2)
FIND, MOVE, GET = "1", "2", "3"
CONNECT_SECONDS, ACSE_SECONDS, DIMSE_SECONDS = 5.0, 10.0, 60.0
PENDING = (0xFF00, 0xFF01)  # PS3.4, C.4.1.1.4
UNKNOWN_DESTINATION = 0xA801  # PS3.4, C.4.2.1.5
NOTHING = "nothing"
MOST_CONTEXTS = 127  # of an association, beside the one of the service (PS3.8, 9.3.2.2)
LUCKY = 4  # what the last files came in is offered first


@dataclass(frozen=True)
class Address:
    """A node: AE title, host, port."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def address(text: str) -> Address | None:
    """`AET@host:port` (PS3.5, 6.2 AE: at most 16 characters, no backslash); None for anything else."""
    found = re.fullmatch(r"([ -\[\]-~]{1,16})@(\[[0-9a-fA-F:.]+\]|[\w.-]+):([0-9]{1,5})", text.strip())
    if found is None or not found[1].strip() or not 0 < int(found[3]) < 65536:
        return None
    return Address(found[1].strip(), found[2].strip("[]"), int(found[3]))


def check_title(title: str | None) -> None:
    """Raises UsageError for what is no AE title; None is no title, and none is needed."""
    if title is not None and address(f"{title}@localhost:104") is None:
        raise UsageError(f"{title!r} is no AE title: 1 to 16 characters without a backslash (PS3.5, 6.2)")


class Dimse:
    """A node that answers C-FIND, and C-GET or C-MOVE, as a `Peer`.

    Parameters
    ----------
    node : its address. own_title : what we call ourselves.
    move_to : AE title of our own `receive`, to which it sends (C-MOVE); None takes the files from it (C-GET).
    every_class : for what it lists without its class, as not every node tells it, offer all classes of storage.
    """

    window_days = 7

    def __init__(self, node: Address, own_title: str, move_to: str | None = None, *, every_class: bool = False) -> None:
        for name in ("pynetdicom", "pydicom"):  # what they would log is in our messages
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.origin, self.sends = str(node), move_to is not None
        self._node, self._own_title, self._move_to = node, own_title, move_to
        self._classes = _all_classes() if every_class else RADIOGRAPHS
        self._own = threading.local()
        self._open: list[Any] = []
        self._lucky: list[tuple[str, str]] = []

    def studies(self, filters: Mapping[str, str], first: date | None, last: date | None) -> Iterator[Study]:
        """See `Peer`."""
        asked = {"StudyInstanceUID": "", "StudyDate": "", "ModalitiesInStudy": "", "NumberOfStudyRelatedInstances": ""}
        if (days := date_range(first, last)) is not None:
            asked["StudyDate"] = days
        seen = set()
        for row in self._find("STUDY", {**asked, **filters}):
            uid = legal_uid(row.get("StudyInstanceUID"))
            if uid is not None and uid not in seen:
                seen.add(uid)
                count = str(row.get("NumberOfStudyRelatedInstances") or "")
                modalities = _texts(row.get("ModalitiesInStudy"))
                yield Study(uid, day(row.get("StudyDate")), modalities, int(count) if count.isdigit() else None)

    def instances(self, study: Study) -> list[Instance]:
        """See `Peer`."""
        found: dict[str, Instance] = {}
        for one in self._find("SERIES", {"StudyInstanceUID": study.uid, "SeriesInstanceUID": "", "Modality": ""}):
            series = legal_uid(one.get("SeriesInstanceUID"))
            if series is None:
                raise NotListed(f"{self.origin} lists a series of the study {study.uid} without its UID")
            modality = str(one.get("Modality") or "") or None
            asked = {
                "StudyInstanceUID": study.uid,
                "SeriesInstanceUID": series,
                "SOPInstanceUID": "",
                "SOPClassUID": "",
            }
            for row in self._find("IMAGE", asked):
                uid = legal_uid(row.get("SOPInstanceUID"))
                if uid is None:
                    raise NotListed(f"{self.origin} lists an instance of the series {series} without its UID")
                found[uid] = Instance(study.uid, series, uid, legal_uid(row.get("SOPClassUID")), modality)
        return list(found.values())

    def has(self, uid: str, study: str | None) -> bool:
        """See `Peer`. The search is hierarchical: an instance is looked for in its study."""
        if study is None:
            raise NotListed(f"{self.origin} can be asked for an instance only with its study")
        return any(one.uid == uid for one in self.instances(Study(study)))

    def fetch(self, instance: Instance) -> bytes | None:
        """See `Peer`: from the peer itself, else sent by it to `move_to`."""
        if self._move_to is not None:
            self._move(instance, self._move_to)
            return None
        said = "it takes no offer to send"
        for classes, syntaxes in self._attempts(instance):
            data, answer = self._get(instance, classes, syntaxes)
            if data is not None:
                return data
            said = answer or said
        if said == NOTHING:
            raise NotThere("the peer lists it, and has nothing to give when it is asked for")
        raise NotFetched(
            f"the peer does not give it by C-GET ({said}); where it cannot, have it send: --move-to AE_TITLE of a "
            "radretrieval receive that it knows"
        )

    def place(self, instance: Instance) -> str:
        """See `Peer`."""
        return f"{self.origin}/{instance.study}/{instance.series}/{instance.uid}"

    def uri(self, instance: Instance, sha256: bytes) -> str:
        """See `Peer`: the archive keeps the file itself, as nobody fetches it again for a picture."""
        return store_uri(sha256)

    def close(self) -> None:
        """See `Peer`."""
        for association in self._open:
            if association.is_established:
                association.release()

    def _attempts(self, instance: Instance) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """SOP classes and transfer syntaxes to offer, one association after the other, until the file comes.

        Each syntax stands in a context of its own, so that a peer finds the one in which the file is. Some (DCMTK's)
        take the first of a class all the same, and fail where that is another: they are left no choice.
        """
        classes = [instance.sop_class] if instance.sop_class else list(self._classes)
        for lucky in list(self._lucky):
            if lucky[0] in classes:
                yield lucky[:1], lucky[1:]
        for group in _groups(classes, MOST_CONTEXTS // len(TRANSFER_SYNTAXES)):
            yield group, TRANSFER_SYNTAXES
        for group in _groups(classes, MOST_CONTEXTS):
            for syntax in TRANSFER_SYNTAXES:
                yield group, (syntax,)

    def _get(
        self, instance: Instance, classes: Sequence[str], syntaxes: Sequence[str]
    ) -> tuple[bytes | None, str | None]:
        """One instance by C-GET: its file if it came; what was said, None where the peer takes none of these."""
        from pynetdicom import build_context, build_role, evt

        got: list[bytes] = []

        def stored(event: Any) -> int:
            if event.request.AffectedSOPInstanceUID == instance.uid:
                got.append(event.encoded_dataset())
                self._was_lucky(str(event.context.abstract_syntax), str(event.context.transfer_syntax))
            return 0x0000

        contexts = [build_context(one, [syntax]) for one in classes for syntax in syntaxes]
        roles = [build_role(one, scp_role=True) for one in classes]
        association = self._associated(GET, contexts, roles, [(evt.EVT_C_STORE, stored)])
        try:
            if not any(context.abstract_syntax in classes for context in association.accepted_contexts):
                return None, None
            statuses = [status for status, _ in self._asked(association, GET, "IMAGE", _one(instance))]
        finally:
            association.release()
        status = statuses[-1] if statuses else 0x0000
        return (got[0] if got else None), f"status 0x{status:04X}" if status else NOTHING

    def _was_lucky(self, sop_class: str, syntax: str) -> None:
        # never a lossy one first: offered alone, it would have a peer compress a film that is not
        if syntax in LOSSLESS:
            lucky = (sop_class, syntax)
            self._lucky = [lucky, *(one for one in self._lucky if one != lucky)][:LUCKY]

    def _move(self, instance: Instance, to: str) -> None:
        """Have one instance sent to our own `receive`, which answers once the file is on the disk and told of."""
        association = self._kept(MOVE)
        statuses = [status for status, _ in self._asked(association, MOVE, "IMAGE", _one(instance), to)]
        status = statuses[-1] if statuses else 0x0000
        if status == UNKNOWN_DESTINATION:
            raise PeerUnusable(
                f"{self.origin} does not know the AE title {to}; enter it there, with the host and port "
                "of radretrieval receive"
            )
        if status != 0x0000:
            raise NotFetched(f"the peer could not send it to {to} (status 0x{status:04X}); check that receive runs")

    def _find(self, level: str, asked: Mapping[str, str]) -> list[Any]:
        """The data sets of one C-FIND, all before anything else is asked. Raises NotListed unless it ended well."""
        rows = []
        for status, found in self._asked(self._kept(FIND), FIND, level, asked):
            if status in PENDING and found is not None:
                rows.append(found)
            elif status not in (0x0000, *PENDING):
                raise NotListed(f"{self.origin} answers a C-FIND of level {level} with the status 0x{status:04X}")
        return rows

    def _asked(
        self, association: Any, service: str, level: str, asked: Mapping[str, str], *more: str
    ) -> Iterator[tuple[int, Any]]:
        """Statuses and data sets of one request; raises PeerUnusable where the peer goes away."""
        send = {FIND: association.send_c_find, MOVE: association.send_c_move, GET: association.send_c_get}[service]
        for status, found in send(_identifier(level, asked), *more, STUDY_ROOT + service):
            if status is None or "Status" not in status:
                raise self._away("it broke the connection off, or took too long to answer")
            yield int(status.Status), found

    def _kept(self, service: str) -> Any:
        """This thread's own association for a service, made when first needed."""
        kept: dict[str, Any] = self._own.__dict__
        if service not in kept or not kept[service].is_established:
            kept[service] = self._associated(service)
            self._open.append(kept[service])
        return kept[service]

    def _associated(
        self, service: str, contexts: Sequence[Any] = (), roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Any:
        """A new association for a service, and for what comes back by it."""
        from pynetdicom import AE, build_context

        ae = AE(ae_title=self._own_title)
        ae.connection_timeout, ae.acse_timeout = CONNECT_SECONDS, ACSE_SECONDS
        ae.dimse_timeout = ae.network_timeout = DIMSE_SECONDS
        wanted = [build_context(STUDY_ROOT + service, [TRANSFER_SYNTAXES[0], TRANSFER_SYNTAXES[-1]]), *contexts]
        association = ae.associate(
            self._node.host, self._node.port, wanted, self._node.title, ext_neg=list(roles), evt_handlers=list(handlers)
        )
        if not association.is_established:
            raise self._away(_refusal(association))
        if STUDY_ROOT + service not in [context.abstract_syntax for context in association.accepted_contexts]:
            association.release()
            name = {FIND: "C-FIND", MOVE: "C-MOVE", GET: "C-GET"}[service]
            way = "; have it send instead: --move-to AE_TITLE of a radretrieval receive" if service == GET else ""
            raise PeerUnusable(f"{self.origin} does not offer {name} of the study root{way}")
        return association

    def _away(self, reason: str) -> PeerUnusable:
        return PeerUnusable(
            f"the DICOM node {self.origin} cannot be used: {reason}; check host, port and AE titles (it must know "
            f"ours, {self._own_title}), then run it again: it goes on where it was"
        )


def _one(instance: Instance) -> dict[str, str]:
    return {
        "StudyInstanceUID": instance.study,
        "SeriesInstanceUID": instance.series,
        "SOPInstanceUID": instance.uid,
    }


def _all_classes() -> tuple[str, ...]:
    from pynetdicom import StoragePresentationContexts

    others = [str(context.abstract_syntax) for context in StoragePresentationContexts]
    return (*RADIOGRAPHS, *(one for one in others if one not in RADIOGRAPHS))


def _groups(classes: Sequence[str], size: int) -> list[Sequence[str]]:
    return [classes[start : start + size] for start in range(0, len(classes), size)]


def _identifier(level: str, asked: Mapping[str, str]) -> Any:
    from pydicom.dataset import Dataset

    found = Dataset()
    found.QueryRetrieveLevel = level
    for keyword, value in asked.items():
        try:
            setattr(found, keyword, value)
        except (ValueError, TypeError) as error:
            raise UsageError(f"--query {keyword}={value} is no value of {keyword}: {error}") from None
    return found


def _texts(value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    return (str(value),) if isinstance(value, str) else tuple(str(one) for one in value)


def _refusal(association: Any) -> str:
    """Why there is no association (PS3.8, 9.3.4)."""
    if association.is_rejected:
        said = association.acceptor.primitive
        return f"it refuses the association ({said.reason_str})"
    if association.is_aborted:
        return "it does not answer, or breaks the association off"
    return "nobody answers there"
