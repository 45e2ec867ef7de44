"""Every setting, once. Each comes from the environment as RADRETRIEVAL_<NAME>."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


def _default_home() -> Path:
    # root's own home is closed to the unprivileged user that the embedded server must run as
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/radretrieval")
    from platformdirs import user_data_path

    return user_data_path("radretrieval")


class Settings(BaseSettings):
    """Settings of one process.

    Attributes
    ----------
    database_url : libpq URL of the archive (`postgresql://…`); None starts the embedded server in `home`.
    database_password_file : file that holds the password for `database_url` (a container secret).
    home : folder of the embedded server and of the cache of weights.
    embedded_start_seconds : how long the embedded server may take to start or to recover.
    max_pixels : an image that claims more pixels is refused before memory is taken.
    decode_seconds : a file that takes longer to decode has failed.
    decode_megabytes : memory that one decoding process may take.
    patient_key_file : key of the patients' pseudonyms (default: `patient.key` in `home`, made when first needed);
        every host that ingests into one archive needs the same key.
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
