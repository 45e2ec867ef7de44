"""Every error that a user can meet.

Each says what was wrong, with the input's name, and what to do about it. The command line prints the message
and ends with `exit_code`; nothing else about an error reaches a user unless `-v` is given.
"""

STANDBY = (
    "it answers searches, and nothing can be written to it; what writes needs the primary: name it with "
    "--database-url or RADRETRIEVAL_DATABASE_URL"
)

DIRECT = (
    "db upgrade, encoder delete, index build and index drop need a session, and work is notified in one; name "
    "PostgreSQL itself for them with RADRETRIEVAL_DIRECT_DATABASE_URL, or use a pool in session mode"
)


class RadretrievalError(Exception):
    """Base of all errors of this package; the message is written for the person who meets it."""

    exit_code = 1


class UsageError(RadretrievalError):
    """The request cannot be carried out as it was made: wrong value, missing file, unknown id."""

    exit_code = 2


class EnvironmentUnusable(RadretrievalError):
    """The database, its schema, the device or the embedded server cannot be used as it stands."""

    exit_code = 3


class ImageError(RadretrievalError):
    """One file is not a radiograph that can be read; the message gives the reason, not the path."""


class NotFetched(ImageError):
    """A DICOM node or server did not give one instance; others it may give."""


class NotThere(NotFetched):
    """A DICOM node or server does not have this instance."""


class InputMissing(UsageError):
    """A file or folder that was named does not exist or cannot be opened."""


class NotInArchive(UsageError):
    """The archive has no image with this id or UID."""


class Forgotten(ImageError):
    """A file was forgotten (`radretrieval forget`), and is not taken again."""


class LabelsError(UsageError):
    """A labels CSV does not have the form that is needed."""


class DatabaseUnavailable(EnvironmentUnusable):
    """The database cannot be reached, or went away while it was used."""


class StoreUnavailable(EnvironmentUnusable):
    """The store of this host has none of the files that the archive keeps in it, or went away."""


class PrivilegeMissing(EnvironmentUnusable):
    """The database's role may not do what was asked."""


class SchemaOutdated(EnvironmentUnusable):
    """The database's schema is not the one that this version needs."""


class WrongPatientKey(EnvironmentUnusable):
    """The key of the patients' pseudonyms on this host is not the archive's."""


class EmbeddedServerError(EnvironmentUnusable):
    """The embedded PostgreSQL could not be started, used or stopped."""


class SitesMissing(EnvironmentUnusable):
    """Archives of a federation did not answer, and no answer could be, or was to be, made without them."""


class NoEncoder(EnvironmentUnusable):
    """The archive has no (active) encoder yet."""
