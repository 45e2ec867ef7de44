"""Every setting, once. Each comes from the environment as RADRETRIEVAL_<NAME>."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from radretrieval.errors import UsageError

# Columns of image come from these, where a file has them (PS3.3 C.7); a site that wants less names fewer.
HEADER = (
    *("Modality", "BodyPartExamined", "ViewPosition", "ImageLaterality", "Laterality"),
    *("StudyDate", "Manufacturer", "PixelSpacing", "ImagerPixelSpacing", "KVP", "Exposure"),
)


def _default_home() -> Path:
    # root's own home is closed to the unprivileged user that the embedded server must run as
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/radretrieval")
    from platformdirs import user_data_path

    return user_data_path("radretrieval")


@dataclass(frozen=True)
class Reading:
    """How the file of an image is read: what decoding processes must be told.

    Attributes
    ----------
    max_pixels, store, credentials : as in `Settings`; no store and no credentials where they are None.
    """

    max_pixels: int
    store: Path | None = None
    credentials: Path | None = None


class Settings(BaseSettings):
    """Settings of one process.

    Attributes
    ----------
    database_url : URL of the archive, `postgresql://user@host:5432/database`; without it the embedded server in `home`.
    database_password_file : file that holds the password for `database_url` (a container secret).
    home : folder of the embedded server and of the cache of weights.
    embedded_start_seconds : seconds that the embedded server may take to start or to recover.
    max_pixels : an image that claims more pixels is refused before memory is taken.
    decode_seconds : a file that takes longer to decode has failed, in seconds.
    decode_megabytes : memory that one decoding process may take, in MB.
    patient_key_file : key of the patients' pseudonyms (default: `patient.key` in `home`, made when first needed);
        every host that ingests into one archive needs the same key.
    store : folder of the files that the archive keeps itself, by content (default: `store` in `home`); every host that
        reads images needs the same one, as a mounted path.
    keep : what is kept there of the files of ingested folders and of pulled images. `reference`: nothing, each is read
        where it lies; `copy`: the file; `reduced`: its pixels, the longest side at most `reduced_size`.
        Received files have no other place: of those the file itself is kept.
    reduced_size : longest side of a reduced copy, in pixels.
    frames : of a file with several frames, `first`: the first one is the image; `each`: every one is an image;
        `refuse`: none.
    header : DICOM attributes, by keyword and with commas between them, that images get columns from; others of these
        columns stay empty.
    header_more : DICOM attributes, by keyword, that are kept beside those, in the column `header`.
    credentials : file of one line, user:password or Bearer TOKEN, for the DICOMweb server that references name.
    """

    model_config = SettingsConfigDict(env_prefix="RADRETRIEVAL_", env_ignore_empty=True, extra="ignore")

    database_url: str | None = None
    database_password_file: Path | None = None
    home: Path = _default_home()
    embedded_start_seconds: float = 120.0
    max_pixels: int = 100_000_000
    decode_seconds: float = 120.0
    decode_megabytes: int = 4096
    patient_key_file: Path | None = None
    store: Path | None = None
    keep: Literal["reference", "copy", "reduced"] = "reference"
    reduced_size: int = 1024
    frames: Literal["first", "each", "refuse"] = "first"
    header: Annotated[tuple[str, ...], NoDecode] = HEADER
    header_more: Annotated[tuple[str, ...], NoDecode] = ()
    credentials: Path | None = None

    @field_validator("header", "header_more", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Names with commas or blanks between them, as people write them into an environment."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_key_in_the_environment(self) -> Settings:
        """An ignored key would silently make other pseudonyms of the same patients."""
        if any(value and name.upper() == "RADRETRIEVAL_PATIENT_KEY" for name, value in os.environ.items()):
            raise UsageError(
                "RADRETRIEVAL_PATIENT_KEY is set, but a key in the environment is not supported any more; write its "
                "value into a file, name that with RADRETRIEVAL_PATIENT_KEY_FILE, and unset RADRETRIEVAL_PATIENT_KEY: "
                "the pseudonyms stay the same"
            )
        return self

    @property
    def store_folder(self) -> Path:
        """Where the archive keeps files."""
        return self.store or self.home / "store"

    @property
    def reading(self) -> Reading:
        """How the files of images are read."""
        return Reading(self.max_pixels, self.store_folder, self.credentials)
