"""A new key for the pseudonyms of patients, while each patient stays the same patient.

What it protects against: who has come to know the old key, a former administrator or a lost backup of it, cannot test
identifiers against pseudonyms made or replaced from now on. What not: who has the old key and a copy of the database of
that time goes on with those; who holds the new key holds the whole chain; and image ids, UIDs and pixels still connect
a copy of the old database with the new one. De-identified exports are connected by the pseudonyms too: those made after
a rotation have other ones.

The order of steps, each of which may be the last one that is done:
1. the next key is written beside the key (`….next`); from then on nobody loads either (`pseudonym.load_secret`);
2. all pseudonyms are replaced, and the check value of the next key noted, in one transaction;
3. the next key takes the place of the key.
Whoever runs it again compares the note with the check values: if it is of the next key, step 3 is left to be done, else
the next key was never used. The transaction holds the lock of ingestions, so that a commit which a killed process had
asked for is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

from radretrieval.archive import patient_keys
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.privacy import pseudonyms


@dataclass(frozen=True)
class Rotation:
    """What was done: `patients` and `images` have new pseudonyms; or an earlier rotation was `finished`.

    keys : how many the chain has now.
    """

    patients: int
    images: int
    keys: int
    finished: bool = False


def rotate(database: Database, settings: Settings) -> Rotation:
    """Replace the key of the pseudonyms, or finish a rotation that was ended in between.

    Raises
    ------
    EnvironmentUnusable : other processes use the key or write to the archive, the key is not the archive's, or cannot
        be replaced.
    DatabaseUnavailable : the database went away; run it again.
    """
    path = pseudonyms.key_file(settings)
    with pseudonyms.held_alone(path) as secret, database.connection() as connection:
        patient_keys.take_turn(connection)
        noted = patient_keys.noted(connection)
        if pseudonyms.pending_file(path).exists():
            pending = pseudonyms.pending_file(path).read_bytes().strip()
            if noted == pseudonyms.check_value(pending):
                pseudonyms.take_pending(path)
                return Rotation(0, 0, len(pseudonyms.keys_of(pending)), finished=True)
            pseudonyms.drop_pending(path)
        if noted is not None and noted != pseudonyms.check_value(secret):
            raise EnvironmentUnusable(
                f"the key {path} is not the one that the archive's pseudonyms are made with; copy that from the host "
                "where it was rotated, then run it again"
            )
        following = pseudonyms.extended(secret)
        newest = pseudonyms.keys_of(following)[-1]
        pseudonyms.write_pending(path, following)
        try:
            patients, images = patient_keys.replace(
                connection, lambda old: pseudonyms.rekeyed(newest, old), pseudonyms.check_value(following)
            )
        except BaseException:  # nothing was committed, and nothing will be
            pseudonyms.drop_pending(path)
            raise
        connection.commit()
        pseudonyms.take_pending(path)
    return Rotation(patients, images, len(pseudonyms.keys_of(following)))
