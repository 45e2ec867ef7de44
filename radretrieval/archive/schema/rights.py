"""Who may do what in the database: the roles of a site's services, and their rights on each object of the schema.

One list: `radretrieval db roles --sql` prints it as SQL, `db upgrade` grants what it says of new objects, `db check`
compares a role with it. A test fails where a table, a column, a view or a function has no line in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

OWNER = "owner"
SERVICES = ("ingest", "worker", "search", "analyst", "auditor")


def role(service: str) -> str:
    """The name of a service's role."""
    return f"radretrieval_{service}"


@dataclass(frozen=True)
class Table:
    """A table or view: its columns, and what each role may do with it.

    Attributes
    ----------
    columns : all of them, by name.
    everyone : privileges of PUBLIC, which the object's own file or migration grants.
    ingest, worker, search, analyst, auditor : privileges as SQL names them. `UPDATE(flat)` is of that column alone,
        `SELECT(-uri)` of all but that one. `-patient_key?`: that column too, unless the site takes it away.
    """

    columns: str
    everyone: str = ""
    ingest: str = ""
    worker: str = ""
    search: str = ""
    analyst: str = ""
    auditor: str = ""


class Right(NamedTuple):
    """A privilege on a table: on these columns, or on the whole of it where `columns` is empty.

    `optional` are columns that a role may have the privilege on, or not, as the site says.
    """

    privilege: str
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


_EVERY = dict.fromkeys(SERVICES, "SELECT")
_OF_HEADERS = (
    "patient_key modality body_part view_position laterality withdrawn sop_instance_uid series_instance_uid "
    "study_instance_uid frame sop_class_uid transfer_syntax_uid pixels_sha256 same_uid study_date manufacturer "
    "row_spacing column_spacing kvp exposure shown_sha256 flat header origin kept labelled"
)

TABLES: dict[str, Table] = {
    "alembic_version": Table("version_num", **_EVERY),
    "arrival": Table(
        "id sha256 uri origin sop_instance_uid arrived_at", ingest="SELECT INSERT UPDATE DELETE", search="SELECT"
    ),
    "audit": Table("id at who db_role action detail hash", auditor="SELECT"),
    "audit_export": Table("target last_id at", auditor="SELECT INSERT UPDATE"),
    "audit_head": Table("id last_id at hash", auditor="SELECT"),
    "barcode": Table(
        "geometry_id image_id code", ingest="SELECT DELETE", worker="SELECT INSERT", search="SELECT", analyst="SELECT"
    ),
    "cnnc": Table(
        "encoder_id image_id code", ingest="SELECT DELETE", worker="SELECT INSERT", search="SELECT", analyst="SELECT"
    ),
    "cnnc_hidden": Table("encoder_id image_id code", ingest="SELECT DELETE"),  # searches have no right to read it
    "coding_failure": Table(
        "encoder_id image_id error message attempts last_at",
        ingest="SELECT UPDATE(message) DELETE",
        worker="SELECT INSERT UPDATE DELETE",
        search="SELECT",
        analyst="SELECT(-message)",
    ),
    "encoder": Table(
        "id profile profile_hash classes weights weights_sha256 metrics created_at active calibration",
        ingest="SELECT(-weights)",
        worker="SELECT",
        search="SELECT",
        analyst="SELECT(-weights)",
    ),
    "exact_anchor": Table(
        "index_id anchor nearest farthest codes code",
        ingest="SELECT",
        worker="SELECT",
        search="SELECT",
        analyst="SELECT",
    ),
    "exact_cell": Table("index_id facet_id anchor codes", search="SELECT", analyst="SELECT"),
    "exact_group": Table(
        "index_id first last reach codes code", ingest="SELECT", worker="SELECT", search="SELECT", analyst="SELECT"
    ),
    "exact_index": Table(
        "id encoder_id live bypassed begun_at live_at codes",
        ingest="SELECT",
        worker="SELECT",
        search="SELECT",
        analyst="SELECT",
    ),
    "exact_touched": Table("id index_id image_id"),
    "facet": Table(
        "id format photometric irma_code split modality body_part view_position laterality withdrawn",
        search="SELECT",
        analyst="SELECT",
    ),
    "feedback": Table(
        "id at who query_image_id query_sha256 hit_image_id relevant encoder_id rank cnnc_distance rbc_distance",
        search="SELECT INSERT UPDATE DELETE",
        analyst="SELECT",
    ),
    "geometry": Table("id size angles bins rule", worker="SELECT INSERT", search="SELECT", analyst="SELECT"),
    "heartbeat": Table(
        "id program host pid version started_at beat_at",
        ingest="SELECT INSERT UPDATE DELETE",
        worker="SELECT INSERT UPDATE DELETE",
        search="SELECT INSERT UPDATE DELETE",
    ),
    "hnsw_audit": Table(
        "encoder_id recall recall_worst sample codes measured_at",
        ingest="SELECT",
        worker="SELECT",
        search="SELECT",
        analyst="SELECT",
    ),
    "image": Table(
        f"id sha256 uri format rows columns bits_stored photometric irma_code split {_OF_HEADERS} ingested_at gone_at "
        "hidden_at",
        ingest="SELECT INSERT(-hidden_at) UPDATE(-hidden_at)",  # who withdraws sets it
        worker="SELECT UPDATE(flat)",  # UPDATE of a column is the right to lock the rows that are encoded
        search="SELECT",
        analyst="SELECT(-uri -patient_key?)",
    ),
    "image_history": Table(
        "id image_id changed_at origin sha256 old", ingest="SELECT INSERT", search="SELECT", analyst="SELECT(-old)"
    ),
    "ingest_failure": Table(
        "uri sha256 error message attempts last_at origin sop_instance_uid",
        ingest="SELECT INSERT UPDATE DELETE",
        search="SELECT",
        analyst="SELECT(-uri -message)",
    ),
    "irma_term": Table("axis prefix label children", search="SELECT", analyst="SELECT"),
    "label_report": Table(
        "id at who image_id expected remark labels", search="SELECT INSERT UPDATE DELETE", analyst="SELECT(-remark)"
    ),
    "neighbour": Table(
        "encoder_id image_id rank neighbour_id distance filled_at",
        ingest="SELECT DELETE",
        search="SELECT",
        analyst="SELECT",
    ),
    "patient_key_check": Table("id check_value plain_issuer recorded_at", everyone="SELECT", ingest="INSERT"),
    "pull": Table(
        "url query change study_date pulled_at reconciled_at", ingest="SELECT INSERT UPDATE", search="SELECT"
    ),
    "schema_object": Table("kind name source definition server applied_at", everyone="SELECT"),
    "tombstone": Table("kind digest at content", ingest="SELECT INSERT UPDATE(content)"),
    "write_lock": Table("name", ingest="SELECT INSERT UPDATE DELETE"),
    # tables that come and go
    "audit_<year>_<month>": Table("id at who db_role action detail hash"),
    "cnnc_<id>": Table(
        "encoder_id image_id code", ingest="SELECT DELETE", worker="SELECT INSERT", search="SELECT", analyst="SELECT"
    ),
    "exact_<id>": Table(
        "key facet_id image_id code", ingest="SELECT", worker="SELECT", search="SELECT", analyst="SELECT"
    ),
    "exact_<id>_stage": Table("image_id anchor"),
    # views
    "coverage": Table(
        "split modality body_part irma_code images coded barcoded failed pending", search="SELECT", analyst="SELECT"
    ),
    "feedback_by_class": Table(
        "encoder_id query_irma_code hit_irma_code relevant not_relevant users", everyone="SELECT"
    ),
    "image_decoded": Table(
        "id sha256 uri format rows columns bits_stored photometric modality body_part view_position laterality "
        "sop_instance_uid series_instance_uid study_instance_uid patient_key irma_code split ingested_at technique "
        "direction anatomy biosystem withdrawn hidden_at",
        search="SELECT",
        analyst="SELECT(-uri -patient_key?)",
    ),
    "image_facet": Table(
        "image_id format photometric modality body_part view_position laterality irma_code split withdrawn",
        everyone="SELECT",
    ),
    "irma_class": Table(
        "irma_code technique direction anatomy biosystem known images withdrawn train test by_split",
        search="SELECT",
        analyst="SELECT",
    ),
    "pending": Table(
        "image_id encoder_id uri split ingested_at waiting error message attempts failed_at",
        search="SELECT",
        analyst="SELECT(-uri -message)",
    ),
}

# Functions that run with the rights of the owner, or whose execution is a right of its own: who may execute them beside
# the owner. `search?` may or may not, as the site says.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "audit_add": ("ingest", "worker", "search", "auditor"),
    "audit_partition": (),
    "exact_cnnc_applied": (),
    "exact_cnnc_changed": (),
    "exact_cnnc_emptied": (),
    "exact_image_applied": (),
    "exact_image_changed": (),
    "filter_sql": ("search?", "analyst?"),
}

_OPEN = """
    audit_append_only audit_hash barcode_of calibrated cnnc_matched cnnc_nearest cnnc_within code_of encoder_codes_kept
    encoder_geometry encoder_number exact_anchor_near exact_applies exact_ball exact_create_search
    exact_create_triggers exact_distrust exact_facets exact_followed exact_index_used exact_kept exact_labels
    exact_nearest exact_none_missing exact_of exact_put exact_put_one exact_put_statement exact_relabel exact_scan
    exact_subscribed exact_terms exact_widen exact_writer_sees federated_nearest federated_similar
    federated_similar_partial fill_neighbours fill_neighbours_batch filter_columns filter_condition filter_literal
    filter_read filter_rows filter_without image_distance image_hidden image_readable irma_code_check irma_error
    irma_known irma_like irma_normalise irma_words lock_contents lock_named near_duplicates neighbours_by_class
    no_code_error pending_notice rbc_distance retrieve retrieve_by search_constants similar similar_to why_no_code
"""
OPEN_FUNCTIONS = frozenset(_OPEN.split())
"""Functions that run with the rights of who calls them: everyone may execute them."""


def pattern(table: str) -> str:
    """The regular expression of the names that a table of the list stands for."""
    return "^" + re.sub("<[a-z]+>", "[0-9]+", table) + "$"


def line_of(name: str) -> str | None:
    """The table of the list that a table of the database is; None for one that is not ours."""
    return name if name in TABLES else next((table for table in TABLES if re.match(pattern(table), name)), None)


def rights(table: str, service: str) -> Iterator[Right]:
    """What a service (`everyone` for PUBLIC) may do with a table of the list."""
    found = TABLES[table]
    for privilege, listed in re.findall(r"(\w+)(?:\(([^)]*)\))?", getattr(found, service)):
        names = listed.split()
        if not listed.startswith("-"):
            yield Right(privilege, tuple(names))
            continue
        left_out = {name.strip("-?") for name in names}
        optional = tuple(name.strip("-?") for name in names if name.endswith("?"))
        yield Right(privilege, tuple(name for name in found.columns.split() if name not in left_out), optional)
