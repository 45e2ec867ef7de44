"""A C-STORE request while it comes: its data set goes to the disk fragment by fragment, never into memory."""

from __future__ import annotations

from collections.abc import Callable

from radretrieval.dicom.data_set import HEAD, file_head
from radretrieval.errors import EnvironmentUnusable
from radretrieval.logs import Log
from radretrieval.storage.draft import Draft

log = Log(__name__)


class StoreRequest:
    """A request, whose data set is the draft of a file.

    A data set that cannot be taken is dropped to its end, since the association goes on behind it.

    Parameters
    ----------
    title : calling AE title. sender : the same with the address, for messages.
    sop_class, sop_instance : UIDs, as the command set has them.
    syntax : UID of the transfer syntax.
    new_draft : makes the draft. largest : bytes that a data set may have.

    Attributes
    ----------
    size : bytes that have come. head : the first of them, `HEAD` at most.
    draft : preamble, meta header and data set; None before the first fragment, and where it cannot be taken.
    error : why it cannot be taken.
    """

    def __init__(
        self,
        title: str,
        sender: str,
        sop_class: str,
        sop_instance: str,
        syntax: str,
        *,
        new_draft: Callable[[], Draft],
        largest: int,
    ) -> None:
        self.title, self.sender = title, sender
        self.sop_class, self.sop_instance, self.syntax = sop_class, sop_instance, syntax
        self._new_draft, self._largest = new_draft, largest
        self.size = 0
        self.head = b""
        self.draft: Draft | None = None
        self.error: Exception | None = None

    def write(self, data: memoryview) -> None:
        """Take the next fragment; what fails is kept in `error`."""
        self.size += len(data)
        if self.error is None:
            try:
                self._append(data)
            except Exception as error:
                self.error = error
                self.close_draft()
                log.warning(
                    "file_refused",
                    "%(sender)s: %(uid)s: refused while it comes: %(reason)s",
                    sender=self.sender,
                    uid=self.sop_instance,
                    reason=error,
                )

    def close_draft(self) -> None:
        """Delete the draft, unless it is in the store."""
        if self.draft is not None:
            self.draft.close()
            self.draft = None

    def _append(self, data: memoryview) -> None:
        if self.size > self._largest:
            raise EnvironmentUnusable(
                f"its data set has more than {self._largest:,} bytes; RADRETRIEVAL_LARGEST_DATA_SET allows more"
            )
        if self.draft is None:
            self.draft = self._new_draft()
            self.draft.write(file_head(self.sop_class, self.sop_instance, self.syntax))
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
        self.draft.write(data)
