"""Every setting, once. Each comes from the environment as RADRETRIEVAL_<NAME>."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ByteSize, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from radretrieval.errors import UsageError

# Attributes that columns of the table image are filled from (PS3.3 C.7); a site may name fewer.
HEADER = (
    *("Modality", "BodyPartExamined", "ViewPosition", "ImageLaterality", "Laterality"),
    *("StudyDate", "Manufacturer", "PixelSpacing", "ImagerPixelSpacing", "KVP", "Exposure"),
)


def _split(value: Any) -> Any:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]  # separated by commas


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
    database_url : URL of the archive, `postgresql://user@host:5432/database`; without it the embedded server in `home`.
    direct_database_url : URL of the same database without the pooler that `database_url` leads to (pgbouncer in
        transaction mode), for what needs a session: db upgrade, encoder delete, index build, notifications.
    read_url : URL of standbys of the same archive, `postgresql://user@one,two/database?target_session_attrs=prefer-standby`,
        that searches and evaluations are read from; `database_url` leads to the primary then, from which all is read
        without this setting.
    database_password_file : file with the password for `database_url`, `direct_database_url` and `read_url`, as a
        container secret.
    home : folder of the embedded server, of the cache of weights, of what training keeps and of keys that are made.
    embedded_start_seconds : time limit for a start of the embedded server, with its recovery after a crash, in seconds.
    largest_data_set : size of the largest data set that is received, in bytes or with a unit, as `500 MB` or `2 GiB`. A
        larger one is refused while it comes (C-STORE status 0xA700), and takes neither memory nor disk space.
    max_pixels : an image whose header states more pixels is refused before memory is allocated.
    decode_seconds : time limit for decoding a file, in seconds.
    decode_megabytes : memory limit of a decoding process, in MB.
    patient_key_file : secret key of the patients' pseudonyms, at least 16 bytes; without it the file patient.key in
        `home`, which is made when it is first needed. All hosts that ingest into one archive need the same key.
    issuer : who gave the patient identifiers that come without an issuer: those of labels, and of DICOM files without
        Issuer of Patient ID. Equal identifiers of two issuers are two patients.
    store : folder of the files that the archive stores itself, named by the SHA-256 of their content; without it the
        folder store in `home`. All hosts that read images need the same folder, as a mounted path.
    store_group : group that may read the store, by name or number; without it only the user that writes the store.
    keep : what is stored there of ingested and pulled files. `reference`: nothing, each is read where it is;
        `copy`: the file; `reduced`: its pixels, the longest side at most `reduced_size`. Of received files the file
        itself is stored always.
    reduced_size : longest side of a reduced copy, in pixels.
    frames : images of a file with several frames. `first`: its first frame; `each`: every frame; `refuse`: none.
    header : DICOM attributes that are stored in columns of their own, as keywords separated by commas; the columns of
        other attributes stay empty.
    header_more : further DICOM attributes, as keywords separated by commas, which are stored as JSON in the column
        image.header.
    path_key_file : file with a secret of at least 16 bytes. With it the paths of files are stored encrypted: in
        `image.uri`, views, CSV and answers stands a text that only this key reveals. All hosts that read or ingest
        files need the same key; it cannot be that of the pseudonyms.
    audit_ca : PEM file of who signs the certificate of the syslog server that `audit export` sends to; without it those
        that the system trusts.
    audit_cert : PEM file with a certificate of this host and its key, for a syslog server that asks for one.
    sites_file : TOML file of the archives that `search --site` and `federation` ask; without it the file sites.toml in
        `home`.
    log_format : how commands write stderr. `text`: lines for people; `json`: one JSON object a line.
    credentials : file of one line, user:password or Bearer TOKEN, for the DICOMweb server that references name.
    """

    model_config = SettingsConfigDict(env_prefix="RADRETRIEVAL_", env_ignore_empty=True, extra="ignore")

    database_url: str | None = Field(default=None, repr=False)  # they may have a password in them
    direct_database_url: str | None = Field(default=None, repr=False)
    read_url: str | None = Field(default=None, repr=False)
    database_password_file: Path | None = None
    home: Path = _default_home()
    embedded_start_seconds: float = 120.0
    largest_data_set: Annotated[ByteSize, Field(gt=0)] = ByteSize(2 * 2**30)
    max_pixels: int = 100_000_000
    decode_seconds: float = 120.0
    decode_megabytes: int = 4096
    patient_key_file: Path | None = None
    issuer: str | None = None
    store: Path | None = None
    store_group: str | None = None
    keep: Literal["reference", "copy", "reduced"] = "reference"
    reduced_size: int = 1024
    frames: Literal["first", "each", "refuse"] = "first"
    header: Annotated[tuple[str, ...], NoDecode] = HEADER
    header_more: Annotated[tuple[str, ...], NoDecode] = ()
    path_key_file: Path | None = None
    audit_ca: Path | None = None
    audit_cert: Path | None = None
    sites_file: Path | None = None
    log_format: Literal["text", "json"] = "text"
    credentials: Path | None = None

    @field_validator("header", "header_more", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Names separated by commas or blanks."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_key_in_the_environment(self) -> Settings:
        """Refuse a setting that was removed: if it was ignored, the same patients would get other pseudonyms."""
        if any(value and name.upper() == "RADRETRIEVAL_PATIENT_KEY" for name, value in os.environ.items()):
            raise UsageError(
                "RADRETRIEVAL_PATIENT_KEY is set, but a key in the environment is no longer supported; write its value "
                "into a file, name the file with RADRETRIEVAL_PATIENT_KEY_FILE, and unset RADRETRIEVAL_PATIENT_KEY: "
                "the pseudonyms stay the same"
            )
        return self

    @model_validator(mode="after")
    def _two_keys(self) -> Settings:
        """Refuse one file for both keys: a rotation of the pseudonyms' key would leave no path that can be revealed."""
        pseudonyms = self.patient_key_file or self.home / "patient.key"
        if self.path_key_file is not None and self.path_key_file.absolute() == pseudonyms.absolute():
            raise UsageError(
                f"RADRETRIEVAL_PATH_KEY_FILE is {self.path_key_file}, the key of the pseudonyms, which may be rotated; "
                "name another file with at least 32 random characters"
            )
        return self

    @property
    def store_folder(self) -> Path:
        """The folder of the files that the archive stores."""
        return self.store or self.home / "store"

    @property
    def weights_folder(self) -> Path:
        """The folder of the cache of weights."""
        return self.home / "weights"

    @property
    def training_folder(self) -> Path:
        """The folder of what training keeps: films at the network's size, and checkpoints."""
        return self.home / "training"


class ServeSettings(BaseSettings):
    """Settings of `radretrieval serve`.

    Attributes
    ----------
    host : address on which it listens. Any but loopback needs a login: `user_header`, `oidc_issuer` or `users_file`.
    port : its port; 0 takes any free one.
    url : address by which users reach it through a proxy, as `https://radret.hospital.example/films/`. Its name is
        among the hosts, its path is where the proxy has the page, and with https cookies are sent over TLS only.
    hosts : further names by which users reach it, separated by commas. A request with another name in its header Host
        is refused; IP addresses and localhost are always taken.
    tls_cert : certificate, PEM: TLS only, from 1.2 on.
    tls_key : its key, PEM, if that is in another file.
    user_header : header in which the proxy says who the user is, as `X-Remote-User`. Only `proxies` may send it.
    groups_header : header in which the proxy says the user's groups, separated by commas.
    proxies : addresses or networks of the proxy, separated by commas. Their X-Forwarded-For says where a login came
        from.
    users_file : file of users, one a line as `name:hash:roles`; `radretrieval users add` writes a line.
    oidc_issuer : address of the OpenID provider, under which it has `.well-known/openid-configuration`.
    oidc_client : client id of this service at the provider.
    oidc_secret_file : file with the client secret; none for a public client.
    oidc_scopes : scopes that are asked for, separated by blanks.
    oidc_user : claim that is the user's name; without it in the token the claim `sub` is.
    oidc_groups : claim that has the user's groups, a list or one name; a path as `realm_access.roles` leads into it.
    search_groups : groups of the proxy or provider whose members may search, separated by commas; `*`: who logs in.
    label_groups : groups whose members may say what is relevant and correct labels.
    admin_groups : groups whose members may see the archive's state.
    idle_minutes : a session that makes no request for so long is ended.
    session_hours : a session is ended after so long, used or not.
    frame_ancestors : who may show the page in a frame, separated by commas, as `https://portal.hospital.example`;
        without it nobody.
    largest_upload : size of the largest request body, in bytes or with a unit. A larger one is refused while it comes.
    requests_per_minute : of one user; more are answered with 429. 0: no limit. Without a login there is none.
    searches : how many searches run at a time, each with a connection to the database; further ones wait.
    kept_uploads : memory for the files that users search with, in bytes or with a unit. The least recently used go
        first.
    kept_minutes : an upload that is not used for so long is dropped.
    store_to : DICOM node that reports may be sent to (C-STORE), as `PACS@pacs.hospital.example:104`.
    stow : root of a DICOMweb server that reports may be sent to (STOW-RS); RADRETRIEVAL_CREDENTIALS names the file of
        its user and password.
    ae_title : how this service calls itself to the node.
    viewer_url : link to a study in the site's viewer, with `{StudyInstanceUID}` and `{SOPInstanceUID}` in it.
    film_cache : size of the folder films in `home`, in bytes or with a unit. It keeps the pixels of films as browsers
        get them, 5 to 10 MB a film of 12 bits; those that were shown least recently are deleted first.
    """

    model_config = SettingsConfigDict(env_prefix="RADRETRIEVAL_SERVE_", env_ignore_empty=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = 8000
    url: str | None = None
    hosts: Names = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    user_header: str | None = None
    groups_header: str | None = None
    proxies: Names = ()
    users_file: Path | None = None
    oidc_issuer: str | None = None
    oidc_client: str | None = None
    oidc_secret_file: Path | None = None
    oidc_scopes: str = "openid profile"
    oidc_user: str = "preferred_username"
    oidc_groups: str = "groups"
    search_groups: Names = ("*",)
    label_groups: Names = ()
    admin_groups: Names = ()
    idle_minutes: Annotated[float, Field(gt=0)] = 30.0
    session_hours: Annotated[float, Field(gt=0)] = 10.0
    frame_ancestors: Names = ()
    largest_upload: Annotated[ByteSize, Field(gt=0)] = ByteSize(256 * 2**20)
    requests_per_minute: Annotated[int, Field(ge=0)] = 1200
    searches: Annotated[int, Field(gt=0)] = 8
    kept_uploads: Annotated[ByteSize, Field(gt=0)] = ByteSize(2**30)
    kept_minutes: Annotated[float, Field(gt=0)] = 30.0
    store_to: str | None = None
    stow: str | None = None
    ae_title: str = "RADRETRIEVAL"
    viewer_url: str | None = None
    film_cache: Annotated[ByteSize, Field(ge=0)] = ByteSize(2 * 2**30)
