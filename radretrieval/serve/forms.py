"""What requests say of a query, as fields of a form."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Uid = Annotated[str, Field(max_length=64, pattern=r"^[0-9.]+$")]
ImageId = Annotated[int, Field(ge=0, le=2**63 - 1)]


class QueryForm(BaseModel):
    """A query: exactly one of `file`, `upload`, `id`, `sop`, `study`.

    Attributes
    ----------
    file : a radiograph: DICOM, PNG, JPEG or TIFF. It is kept in memory for a while, under the answer's `query.upload`.
    upload : a file that was sent before.
    id : of an image of the archive. sop : its SOP Instance UID, or what `study` takes, for people who paste a UID.
    study : a Study Instance UID, for the first of its images.
    """

    model_config = ConfigDict(extra="forbid")

    file: UploadFile | None = None
    upload: Annotated[str, Field(max_length=64)] | None = None
    id: ImageId | None = None
    sop: Uid | None = None
    study: Uid | None = None


class SearchForm(QueryForm):
    """A query and what its hits must be; the options of `radretrieval search` have the same names.

    Attributes
    ----------
    top, candidates : how many hits, from how many of the nearest codes.
    roi : `x,y,width,height` in pixels of the query: the region is found in each hit.
    where : conditions as `modality=CR` or `study_date>=2026-01-01`; may be repeated.
    one_per : of each patient or study only the nearest image.
    max_distance : bits by which a candidate's CNN code may differ.
    exclude_same_patient : leave out images of the query's patient.
    explain : why each hit stands where it does.
    encoder : None for the active one.
    relevant, not_relevant : images that the user judged, by id, which refine the search; may be repeated.
    """

    top: Annotated[int, Field(ge=1, le=1000)] = 10
    candidates: Annotated[int, Field(ge=1, le=10_000)] = 50
    roi: Text | None = None
    roi_method: Literal["context", "paper"] = "context"
    roi_polarity: Literal["same", "either"] = "same"
    where: Annotated[list[Text], Field(max_length=50)] = []
    one_per: Literal["patient", "study"] | None = None
    max_distance: Annotated[int, Field(ge=0, le=1000)] | None = None
    exclude_same_patient: bool = False
    explain: bool = False
    encoder: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    relevant: Annotated[list[ImageId], Field(max_length=500)] = []
    not_relevant: Annotated[list[ImageId], Field(max_length=500)] = []


class SendForm(SearchForm):
    """A search whose answer is sent.

    Attributes
    ----------
    to : a name of the session's `send_to`; None for each of them.
    what : `sr`, a structured report, and `sc`, the picture as a secondary capture; may be repeated.
    """

    to: Text | None = None
    what: Annotated[list[Literal["sr", "sc"]], Field(min_length=1, max_length=2)] = ["sr"]


class RegionForm(QueryForm):
    """A region of a query, and the images in which it is to be found.

    Attributes
    ----------
    roi : `x,y,width,height` in pixels of the query. roi_polarity : `either`: dark and bright may be exchanged.
    images : their ids; repeated.
    """

    roi: Text
    roi_polarity: Literal["same", "either"] = "same"
    images: Annotated[list[ImageId], Field(min_length=1, max_length=100)]
