"""A role for each service: it does all that its service does, and is refused everything else."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import psycopg
import pydicom
import pytest
from databases import Server, database_of
from fastapi.testclient import TestClient
from nodes import Receiving, a_file, until
from psycopg import errors
from pynetdicom import AE
from roled import Roled, drop_roles, service_roles
from roled import made as made_roled
from serving import Films
from small_web import SmallWeb
from small_web import serving as serving_web
from tiny import add_encoder

from radretrieval.archive import connections, migrations, roles
from radretrieval.archive.connections import Database
from radretrieval.archive.schema import objects
from radretrieval.archive.schema.rights import FUNCTIONS, OPEN_FUNCTIONS, SERVICES, TABLES, line_of, rights, role
from radretrieval.config import ServeSettings, Settings
from radretrieval.serve.app import create_app

EVERY = (*SERVICES, "none")
REFUSED = (
    errors.InsufficientPrivilege,
    errors.lookup("2F003"),
)  # prohibited SQL statement attempted: dblink without a password


@pytest.fixture(scope="module")
def roled(server: Server, films: Films, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roled]:
    with made_roled(server, films, tmp_path_factory.mktemp("roled")) as one:
        yield one


def test_the_owner_upgrades_builds_and_switches(roled: Roled) -> None:
    roled.run("owner", "db", "upgrade")
    roled.run("owner", "index", "build")
    roled.run("owner", "encoder", "export", "one.safetensors")
    roled.run("owner", "encoder", "import", "one.safetensors")
    roled.run("owner", "db", "check", "--role", "owner")


def test_ingest_takes_files_in(roled: Roled, films: Films) -> None:
    folder = roled.folder / "in"
    folder.mkdir()
    shutil.copy(films.new[0], folder)
    a_file(folder / "one.dcm", 1)
    (folder / "labels.csv").write_text("file,irma_code\none.dcm,1121-110-414-700\n")
    (folder / "broken.dcm").write_bytes(films.broken.read_bytes())
    done = roled.run("ingest", "ingest", folder, "--labels", folder / "labels.csv", "--json", check=False)
    assert (done.json["added"], done.json["failed"]) == (2, 1), done.stderr
    known = films.folder / "x-rays"
    labels = roled.folder / "labels.csv"
    rows = (known / "labels.csv").read_text().splitlines()[1:]
    labels.write_text("\n".join(["file,irma_code,split", *(f"{known}/{row},t" for row in rows)]))
    assert roled.run("ingest", "ingest", known, "--labels", labels, "--json").json["relabelled"] > 20
    roled.run("ingest", "verify", "--tidy")
    roled.run("ingest", "status")
    assert roled.run("ingest", "db", "check", "--json").json["services"] == ["ingest"]


def test_ingest_receives_pulls_and_corrects(roled: Roled, films: Films) -> None:
    web = SmallWeb()
    pulled = roled.folder / "pulled.dcm"
    uid = a_file(pulled, 2)
    other = pydicom.dcmread(pulled)
    other.StudyInstanceUID, other.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    other.save_as(pulled)
    web.studies["1.2.3"] = {uid: pulled.read_bytes()}
    with serving_web(web):
        assert roled.run("ingest", "pull", web.root, "--json").json["added"] == 1
        assert roled.run("ingest", "pull", web.root, "--reconcile", "--json").json["failed"] == 0
    with Receiving(roled.home, roled.url_of("ingest"), "--workers", 1) as node:
        ds = pydicom.dcmread(films.known[0])
        ds.BodyPartExamined = "SKULL"
        ae = AE(ae_title="SENDER")
        ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", node.port, ae_title="RADRETRIEVAL")
        assert association.send_c_store(ds).Status == 0
        association.release()
        until(lambda: not roled.dba("SELECT FROM radretrieval.arrival"), "it stays an arrival")
        assert node.stop() == 0, node.lines
    assert roled.dba("SELECT body_part FROM radretrieval.image WHERE id = 1") == [("SKULL",)]


def test_worker_encodes(roled: Roled) -> None:
    done = roled.run("worker", "work", "--once", "--device", "cpu", "--json", check=False)
    assert (done.json["encoded"], done.json["failed"]) == (2, 1), done.stderr  # the PACS that was pulled from has gone
    assert roled.run("worker", "db", "check", "--json").json["services"] == ["worker"]


@pytest.mark.parametrize(
    "words",
    [
        ("search", "id:7", "--where", "modality=CR", "--exclude-same-patient"),
        ("search", "id:7", "--roi", "10,10,60,60", "--top", "3"),
        ("search", "--all", "--out", "all.csv", "--top", "2"),
        ("search", "{new}", "--device", "cpu", "--fhir", "one.json"),
        ("evaluate", "--split", "t", "--against", "t", "--no-network"),
        ("export", "out", "--ids", "1-3"),
        ("audit", "labels"),
        ("feedback", "export", "said.csv"),
        ("encoder", "list"),
        ("encoder", "report"),
        ("encoder", "export", "two.safetensors"),
        ("index", "check"),
        ("status",),
        ("health", "--json"),
        ("db", "check", "--role", "search"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_search_runs_what_only_reads(roled: Roled, films: Films, words: tuple[str, ...]) -> None:
    roled.run("search", *(word.format(new=films.new[1]) for word in words))


def test_search_serves_the_page_and_takes_opinions(roled: Roled, films: Films) -> None:
    settings = Settings(home=films.home, database_url=roled.url_of("search"))
    with TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1") as page:
        hits = page.post("/api/search", data={"id": "7", "top": "5"}).json()["hits"]
        with films.new[1].open("rb") as file:
            token = page.post("/api/search", files={"file": file}).json()["query"]["upload"]
        for path in (
            *("health/ready", "api/session", "api/classes", "api/map", "api/facets", "api/status", "api/admin"),
            *(
                "api/admin/failures",
                "api/codes?code=1121-110-414-700",
                "api/images/7",
                "api/images/7/thumbnail",
                "api/feedback?id=7",
            ),
            f"api/queries/{token}",
        ):
            answer = page.get(f"/{path}")
            assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        said = {"id": 7, "hit": hits[0]["image_id"], "relevant": True}
        for relevant in (True, False, None):
            assert page.post("/api/feedback", json=said | {"relevant": relevant}).status_code == 204
        for expected in ("1121-110-414-700", None):
            answer = page.post("/api/labels/reports", json={"image": 7, "expected": expected, "remark": None})
            assert answer.status_code == 204, answer.text


def test_analyst_asks_without_uri_and_without_patients(roled: Roled) -> None:
    roled.dba("UPDATE radretrieval.ingest_failure SET message = '/secret/name'")
    with roled.connect("analyst") as made:
        for query, column in (("similar(7)", 5), ("retrieve(7)", 5)):
            rows = made.execute(f"SELECT * FROM {query}").fetchall()  # type: ignore[call-overload]
            assert len(rows) == 10
            assert {row[column] for row in rows} == {None}
        assert any(row[0] for row in made.execute("SELECT patient_key FROM retrieve(7)"))
        for query in (
            *('similar(7, filter => \'{"irma_code": "1121-*", "one_per": "patient"}\')', "near_duplicates(300)"),
            *(
                "image_distance(7, 8)",
                "coverage",
                "irma_class",
                "feedback_by_class",
                "image_facet",
                "facet",
                "neighbour",
            ),
        ):
            made.execute(f"SELECT * FROM {query}")  # type: ignore[call-overload]
        made.execute("SELECT error, count(*) FROM ingest_failure GROUP BY 1; SELECT image_id, waiting FROM pending")
        made.execute("SELECT id, irma_code, technique FROM image_decoded")
        roled.dba(
            "REVOKE SELECT (patient_key) ON radretrieval.image, radretrieval.image_decoded FROM radretrieval_analyst"
        )
        assert set(made.execute("SELECT uri, patient_key FROM retrieve(7)")) == {(None, None)}
        for query in ("SELECT patient_key FROM image", 'SELECT similar(7, filter => \'{"one_per": "patient"}\')'):
            with pytest.raises(errors.InsufficientPrivilege):
                made.execute(query)  # type: ignore[call-overload]
        roled.run("analyst", "db", "check")  # either way
    hidden = roles.script(patients=False)
    assert re.search(r"\bpatient_key[,)].* TO radretrieval_analyst", hidden) is None
    for script in (hidden, roles.script()):
        roled.dba(script)
        roled.run("analyst", "db", "check")


def test_auditor_reads_the_audit(roled: Roled) -> None:
    with roled.connect("auditor") as made:
        assert {row[0] for row in made.execute("SELECT action FROM audit")} >= {"search", "feedback"}
    roled.run("auditor", "audit", "verify")
    assert roled.run("auditor", "audit", "list").stdout
    for number in range(2):
        roled.run("auditor", "audit", "export", f"audit-{number}.jsonl", "--since", "last")
    with roled.connect("auditor") as made:
        assert len(made.execute("SELECT db_role FROM audit WHERE action = 'audit export'").fetchall()) == 2
        assert made.execute("SELECT detail FROM audit WHERE action = 'db roles'").fetchall()[0] == ({"patients": True},)
    roled.run("auditor", "db", "check", "--role", "auditor")


# What no service may do, whichever it is for, and after that what some may.
FORBIDDEN = {
    "SET ROLE radretrieval_owner": "",
    "SET SESSION AUTHORIZATION radretrieval_owner": "",
    "SET session_replication_role = replica": "",
    "ALTER SYSTEM SET log_connections = on": "",
    "CREATE ROLE rr_other": "",
    "GRANT radretrieval_owner TO CURRENT_USER": "",
    "CREATE SCHEMA mine": "",
    "CREATE EXTENSION file_fdw": "",
    "CREATE EXTENSION pg_trgm": "",
    "SELECT * FROM dblink('dbname={database} user=radretrieval_owner', 'SELECT 1') d (one int)": "",
    "SELECT dblink_connect_u('dbname={database}')": "",
    "CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw": "",
    "COPY (SELECT 1) TO PROGRAM 'true'": "",
    "COPY pg_temp.mine FROM PROGRAM 'true'": "",
    "COPY (SELECT 1) TO '/tmp/rr-stolen'": "",
    "SELECT pg_read_file('PG_VERSION')": "",
    "SELECT pg_ls_dir('.')": "",
    "SELECT pg_stat_file('PG_VERSION')": "",
    "SELECT lo_import('/etc/hostname')": "",
    "SELECT lo_create(0)": "",
    "SELECT lo_from_bytea(0, 'a')": "",
    "SELECT pg_reload_conf()": "",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> current_user LIMIT 1": "",
    "SELECT * FROM pg_authid": "",
    "SELECT * FROM pg_user_mapping": "",
    "CREATE TABLE radretrieval.mine ()": "",
    "CREATE TABLE public.image ()": "",
    "CREATE FUNCTION radretrieval.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'": "",
    "CREATE FUNCTION public.similar(image integer) RETURNS int LANGUAGE sql AS 'SELECT 1'": "",
    "CREATE OPERATOR public.<~> (LEFTARG = bit, RIGHTARG = bit, FUNCTION = bitand)": "",
    "CREATE OPERATOR radretrieval.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)": "",
    "CREATE CAST (text AS integer) WITH INOUT AS IMPLICIT": "",
    "CREATE VIEW radretrieval.mine AS SELECT 1": "",
    "CREATE OR REPLACE FUNCTION radretrieval.similar(image bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'": "",
    "DROP FUNCTION radretrieval.similar": "",
    "DROP TABLE radretrieval.feedback": "",
    "DROP SCHEMA radretrieval CASCADE": "",
    "ALTER TABLE radretrieval.image ADD COLUMN mine int": "",
    "ALTER TABLE radretrieval.image DISABLE TRIGGER ALL": "",
    "ALTER TABLE radretrieval.cnnc DISABLE TRIGGER exact_put": "",
    "ALTER TABLE radretrieval.audit DISABLE TRIGGER append_only": "",
    "ALTER TABLE radretrieval.image DISABLE ROW LEVEL SECURITY": "",
    "ALTER TABLE radretrieval.image OWNER TO CURRENT_USER": "",
    "ALTER FUNCTION radretrieval.similar SECURITY DEFINER": "",
    "CREATE POLICY mine ON radretrieval.image": "",
    "CREATE INDEX ON radretrieval.image (id)": "",
    "CREATE TRIGGER mine BEFORE INSERT ON radretrieval.image EXECUTE FUNCTION radretrieval.pending_notice()": "",
    "CREATE RULE mine AS ON INSERT TO radretrieval.image DO NOTHING": "",
    "CREATE STATISTICS radretrieval.mine ON id, sha256 FROM radretrieval.image": "",
    "COMMENT ON TABLE radretrieval.image IS 'mine'": "",
    "ALTER DEFAULT PRIVILEGES FOR ROLE radretrieval_owner GRANT SELECT ON TABLES TO PUBLIC": "",
    "CREATE PUBLICATION mine FOR TABLE radretrieval.image": "",
    "CREATE EVENT TRIGGER mine ON sql_drop EXECUTE FUNCTION event_trigger_mine()": "",
    "REINDEX TABLE radretrieval.image": "",
    "CLUSTER radretrieval.image USING image_pkey": "",
    # functions with the owner's rights, called by a trigger of one's own
    "CREATE TRIGGER mine AFTER INSERT ON pg_temp.mine REFERENCING NEW TABLE AS after FOR EACH STATEMENT "
    "EXECUTE FUNCTION radretrieval.exact_cnnc_changed()": "",
    "CREATE TRIGGER mine AFTER TRUNCATE ON pg_temp.cnnc_1 EXECUTE FUNCTION radretrieval.exact_cnnc_emptied()": "",
    "CREATE TRIGGER mine AFTER UPDATE ON pg_temp.mine FOR EACH ROW "
    "EXECUTE FUNCTION radretrieval.exact_image_applied()": "",
    # ours that write
    "SELECT radretrieval.exact_distrust()": "",
    "SELECT radretrieval.exact_put(1, '{{7}}', '{{1}}')": "",
    "SELECT radretrieval.exact_relabel('{{7}}')": "",
    "SELECT radretrieval.exact_create_triggers('radretrieval.cnnc_1')": "",
    "SELECT radretrieval.fill_neighbours_batch(1, 3, 3, 0, now())": "",
    "SELECT radretrieval.lock_named('ingestion', 0.1)": "ingest",
    "SELECT radretrieval.lock_contents('{{a}}', 0.1)": "ingest",
    'SELECT * FROM radretrieval.similar(7, filter => \'{{"sql": "true"}}\')': "",
    "SELECT radretrieval.filter_sql('true')": "",
    # tables
    "UPDATE radretrieval.audit SET who = 'nobody'": "",
    "DELETE FROM radretrieval.audit": "",
    "TRUNCATE radretrieval.audit": "",
    "INSERT INTO radretrieval.audit VALUES (DEFAULT)": "",
    "SELECT who FROM radretrieval.audit": "auditor",
    "SELECT weights FROM radretrieval.encoder": "worker search",
    "UPDATE radretrieval.encoder SET active = false": "",
    "INSERT INTO radretrieval.encoder (profile) VALUES ('{{}}')": "",
    "SELECT uri FROM radretrieval.image": "ingest worker search",
    "SELECT * FROM radretrieval.image": "ingest worker search",
    "SELECT i FROM radretrieval.image i": "ingest worker search",
    "SELECT count(uri) FROM radretrieval.image_decoded": "search",
    "SELECT message FROM radretrieval.pending": "search",
    "SELECT old FROM radretrieval.image_history": "ingest search",
    "SELECT uri FROM radretrieval.ingest_failure": "ingest search",
    "SELECT 1 FROM radretrieval.image FOR UPDATE": "ingest worker",
    "SELECT 1 FROM radretrieval.image FOR KEY SHARE": "ingest worker",
    "LOCK TABLE radretrieval.image IN ACCESS EXCLUSIVE MODE": "",
    "LOCK TABLE radretrieval.cnnc_1 IN SHARE MODE": "ingest",
    "LOCK TABLE radretrieval.encoder IN ROW EXCLUSIVE MODE": "",
    "LOCK TABLE radretrieval.schema_object IN SHARE MODE": "",
    "UPDATE radretrieval.image SET flat = flat WHERE false": "ingest worker",
    "UPDATE radretrieval.image SET uri = uri WHERE false": "ingest",
    "UPDATE radretrieval.image SET hidden_at = NULL WHERE false": "",
    "INSERT INTO radretrieval.image (uri, hidden_at) SELECT uri, hidden_at FROM radretrieval.image WHERE false": "",
    "INSERT INTO radretrieval.image (uri) SELECT uri FROM radretrieval.image WHERE false": "ingest",
    "DELETE FROM radretrieval.image WHERE false": "",
    "INSERT INTO radretrieval.cnnc SELECT * FROM radretrieval.cnnc WHERE false": "worker",
    "INSERT INTO radretrieval.cnnc_1 SELECT * FROM radretrieval.cnnc WHERE false": "worker",
    "UPDATE radretrieval.cnnc SET code = code WHERE false": "",
    "DELETE FROM radretrieval.cnnc WHERE image_id = 0": "ingest",
    "DELETE FROM radretrieval.exact_1": "",
    "TRUNCATE radretrieval.exact_1": "",
    "INSERT INTO radretrieval.exact_touched (index_id, image_id) VALUES (1, 1)": "",
    "UPDATE radretrieval.exact_index SET live = false": "",
    "DELETE FROM radretrieval.feedback WHERE id = 0": "search",
    "SELECT remark FROM radretrieval.label_report": "search",
    "UPDATE radretrieval.patient_key_check SET plain_issuer = 'x'": "",
    "UPDATE radretrieval.alembic_version SET version_num = '0'": "",
    "DELETE FROM radretrieval.schema_object": "",
}


@pytest.fixture(scope="module")
def sessions(roled: Roled) -> Iterator[dict[str, Any]]:
    """A session of each role; the DBA has made what tempts them."""
    roled.dba("CREATE EXTENSION dblink SCHEMA public; CREATE EXTENSION postgres_fdw SCHEMA public")
    found = {service: roled.connect(service) for service in EVERY}
    for made in found.values():
        made.execute("CREATE TEMP TABLE mine (encoder_id int, image_id bigint, code bit(1000))")
        made.execute("CREATE TEMP TABLE cnnc_1 (LIKE mine)")
        made.execute("SET lock_timeout = '3s'")
    yield found
    for made in found.values():
        made.close()


@pytest.mark.parametrize("service", EVERY)
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_a_role_is_refused_what_its_service_has_no_need_of(
    roled: Roled, sessions: dict[str, Any], statement: str, service: str
) -> None:
    made = sessions[service]
    refused = service not in FORBIDDEN[statement].split()
    alone = statement.startswith("ALTER SYSTEM")
    with nullcontext() if alone else made.transaction(force_rollback=True):
        try:
            made.execute(statement.format(database=database_of(roled.url)))
        except REFUSED:
            assert refused
        else:
            assert not refused


@pytest.mark.parametrize("service", EVERY)
def test_each_right_is_as_listed(roled: Roled, sessions: dict[str, Any], service: str) -> None:
    """Each column of each table, by the statement itself; what is refused, is so for want of the right."""
    made, wrong = sessions[service], []
    for name, columns in roled.dba(
        "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'radretrieval'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 GROUP BY 1"
    ):
        line = line_of(name)
        assert line is not None, f"{name} has no line in schema/rights.py"
        assert set(columns) == set(TABLES[line].columns.split()), f"{name}: its columns in schema/rights.py are others"
        listed = [right for one in (service, "everyone") if one != "none" for right in rights(line, one)]
        listed = [] if service == "none" else listed
        for column in columns:
            for privilege, statement in (
                ("SELECT", f"SELECT {column} FROM radretrieval.{name} LIMIT 0"),
                ("UPDATE", f"UPDATE radretrieval.{name} SET {column} = DEFAULT WHERE false"),
            ):
                may = any(
                    right.privilege == privilege
                    and column in (*right.columns, *right.optional, *([] if right.columns else [column]))
                    for right in listed
                )
                wrong += [statement] if allowed(made, statement) != may else []
        for privilege, statement in (
            ("INSERT", f"INSERT INTO radretrieval.{name} DEFAULT VALUES"),
            ("DELETE", f"DELETE FROM radretrieval.{name} WHERE false"),
            ("TRUNCATE", f"TRUNCATE radretrieval.{name}"),
        ):
            may = any(right.privilege == privilege for right in listed)
            wrong += [statement] if allowed(made, statement) != may else []
    assert wrong == []


def allowed(made: Any, statement: str) -> bool:
    """Whether a statement is not refused for want of a right; it changes nothing."""
    try:
        with made.transaction(force_rollback=True):
            made.execute(statement)
    except errors.InsufficientPrivilege as error:
        return "row-level" in str(error)
    except psycopg.Error:
        return True
    return True


def test_every_object_has_a_line_and_every_line_an_object(roled: Roled) -> None:
    functions = {name for kind, name, _ in objects.files() if kind == "function"}
    assert functions == set(FUNCTIONS) | OPEN_FUNCTIONS
    named = {
        name for (name,) in roled.dba("SELECT proname FROM pg_proc WHERE pronamespace = 'radretrieval'::regnamespace")
    }
    assert named - {"exact_near_1"} == functions  # that one is of an index, and of who may read its table
    definer = roled.dba(
        "SELECT p.proname, has_function_privilege('public', p.oid, 'EXECUTE') FROM pg_proc p "
        "WHERE p.pronamespace = 'radretrieval'::regnamespace AND (p.prosecdef OR p.proname = 'filter_sql')"
    )
    assert {(name, False) for name in FUNCTIONS} == set(definer) | {("audit_partition", False)}
    there = {name for kind, name, _ in objects.files() if kind in ("table", "view")} - {"filter_parts"}
    assert {name for name in TABLES if "<" not in name} == there | {"alembic_version"}


def test_a_new_encoder_and_index_have_the_rights_of_the_list(roled: Roled) -> None:
    with Database(roled.url_of("owner")).connection() as made:
        number = add_encoder(made, 3)
        assert made.execute("SELECT current_user = session_user AS same").fetchone() == {"same": True}
    for service, may in (
        ("worker", {"SELECT", "INSERT"}),
        ("ingest", {"SELECT", "DELETE"}),
        ("analyst", {"SELECT"}),
        ("auditor", set()),
    ):
        granted = roled.dba(
            "SELECT x.privilege_type FROM pg_class c, aclexplode(c.relacl) x "
            f"WHERE c.oid = 'radretrieval.cnnc_{number}'::regclass AND x.grantee = '{role(service)}'::regrole"
        )
        assert {name for (name,) in granted} == may
    for service in SERVICES:
        roled.run(service, "db", "check", "--role", service)


def test_check_names_what_is_missing_and_what_is_too_much_and_its_repair(roled: Roled) -> None:
    name = roled.names["worker"]
    ((superuser,),) = roled.dba("SELECT current_user")
    for damage in (
        "REVOKE INSERT ON radretrieval.cnnc FROM radretrieval_worker",
        f"GRANT DELETE ON radretrieval.image TO {name}",
        f"GRANT UPDATE (uri) ON radretrieval.image TO {name}",
        "GRANT EXECUTE ON FUNCTION radretrieval.exact_cnnc_emptied() TO PUBLIC",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        f"GRANT radretrieval_search TO {name}",
        f"GRANT pg_read_all_data TO {name}",
        f"ALTER ROLE {name} CREATEROLE",
        "REVOKE USAGE ON SCHEMA radretrieval FROM radretrieval_worker",
        f"GRANT {superuser} TO {name}",
        f"GRANT {roled.names['none']} TO {name}",
        f"GRANT UPDATE ON SEQUENCE radretrieval.image_id_seq TO {roled.names['none']}",
        f"GRANT SET ON PARAMETER session_replication_role TO {name}",
        f"GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {name}",
        f"GRANT SELECT ON pg_statistic TO {name}",
        "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
        "GRANT SELECT ON radretrieval.geometry TO radretrieval_worker WITH GRANT OPTION",
        f"ALTER TABLE radretrieval.hnsw_audit OWNER TO {name}",
        f"ALTER FUNCTION radretrieval.audit_add OWNER TO {name}",
    ):
        roled.dba(damage)
    if roled.dba("SELECT 1 WHERE current_setting('server_version_num')::int >= 160000"):  # only by SET ROLE
        roled.dba(f"GRANT {roled.names['none']} TO {name} WITH INHERIT FALSE")
    done = roled.run("worker", "db", "check", "--role", "worker", check=False)
    assert done.returncode == 3
    lines = [line.strip() for line in done.stderr.splitlines()[1:]]
    assert [line for line in lines if not line.endswith(";")] == []
    for expected in (
        "it lacks INSERT on cnnc: GRANT INSERT ON radretrieval.cnnc TO radretrieval_worker;",
        f"it has DELETE on image: REVOKE DELETE ON radretrieval.image FROM {name};",
        f"it has UPDATE on image.uri: REVOKE UPDATE (uri) ON radretrieval.image FROM {name};",
        f"it is CREATEROLE: ALTER ROLE {name} NOCREATEROLE;",
        f"it is a member of radretrieval_search: REVOKE radretrieval_search FROM {name};",
        "it has CREATE on the schema public: REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
        f"it is a member of {superuser}: REVOKE {superuser} FROM {name};",
        "it has UPDATE on the sequence image_id_seq: REVOKE UPDATE ON SEQUENCE radretrieval.image_id_seq FROM "
        f"{roled.names['none']};",
        "it has SET on PARAMETER session_replication_role: REVOKE SET ON PARAMETER session_replication_role FROM "
        f"{name};",
        f"it has EXECUTE on FUNCTION pg_read_file(text): REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM {name};",
        f"it has SELECT on pg_catalog.pg_statistic: REVOKE SELECT ON pg_catalog.pg_statistic FROM {name};",
        "it has EXECUTE on FUNCTION lo_create(oid): REVOKE EXECUTE ON FUNCTION lo_create(oid) FROM PUBLIC;",
        "it may grant SELECT on geometry to others: REVOKE GRANT OPTION FOR SELECT ON radretrieval.geometry FROM "
        "radretrieval_worker CASCADE;",
        f"{name} owns hnsw_audit: ALTER TABLE radretrieval.hnsw_audit OWNER TO radretrieval_owner;",
        f"{name} owns the function audit_add: ALTER FUNCTION radretrieval.audit_add OWNER TO radretrieval_owner;",
    ):
        assert expected in lines, expected
    for line in lines:
        roled.dba(line.partition(": ")[2])
    roled.run("worker", "db", "check", "--role", "worker")
    roled.dba(f"REVOKE {roled.names['none']} FROM {name}")  # a role without rights now: it may stay a member
    assert roled.dba(f"SELECT 1 FROM pg_auth_members WHERE member = '{name}'::regrole") == [(1,)]
    none = roled.run("none", "db", "check", "--role", "ingest", check=False)
    assert f"GRANT radretrieval_ingest TO {roled.names['none']};" in none.stderr
    assert none.stderr.count("\n") == 2
    refused = roled.run("none", "status", check=False)
    assert (refused.returncode, "db check --role" in refused.stderr) == (3, True)


def test_a_right_on_the_whole_table_is_taken_and_those_on_its_columns_stay(roled: Roled) -> None:
    roled.dba("GRANT UPDATE ON radretrieval.image TO radretrieval_ingest")
    done = roled.run("ingest", "db", "check", check=False)
    lines = [line.strip() for line in done.stderr.splitlines()[1:]]
    assert lines[0] == "it has UPDATE on image: REVOKE UPDATE ON radretrieval.image FROM radretrieval_ingest;"
    for line in lines:
        roled.dba(line.partition(": ")[2])
    roled.run("ingest", "db", "check")


@pytest.mark.parametrize(("before", "privilege"), [("0012", "UPDATE"), ("0013", "INSERT")])
def test_a_revision_takes_hidden_at_from_who_does_not_withdraw(
    server: Server, migrated_template: str, before: str, privilege: str
) -> None:
    def may(role: str, column: str) -> bool:
        query = "SELECT has_column_privilege(%s, 'radretrieval.image', %s, %s)"
        return bool(dba.execute(query, [role, column, privilege]).fetchone()[0])  # type: ignore[index]

    mark = secrets.token_hex(4)
    own, all_of_it = f"rr_own_{mark}", f"rr_all_{mark}"
    with (
        server.database(template=migrated_template) as url,
        service_roles(url),
        psycopg.connect(url, autocommit=True) as dba,
    ):
        services = ["radretrieval_ingest", "radretrieval_worker"]
        try:
            for name in (own, all_of_it):
                dba.execute(f"CREATE ROLE {name}; GRANT {privilege} ON radretrieval.image TO {name}")  # type: ignore[call-overload]
            dba.execute(f"GRANT INSERT ON radretrieval.cnnc_hidden TO {all_of_it}")  # type: ignore[call-overload]
            migrations.downgrade(url, before)
            could = {(name, column): may(name, column) for name in (*services, own) for column in ("uri", "hidden_at")}
            assert could == dict.fromkeys(could, True) | {
                ("radretrieval_worker", "uri"): False,
                ("radretrieval_worker", "hidden_at"): False,
            }
            migrations.upgrade(url)
            for name in (*services, own):
                assert (may(name, "uri"), may(name, "hidden_at")) == (could[name, "uri"], False), name
            assert may(all_of_it, "hidden_at")
            flat = "SELECT has_column_privilege('radretrieval_worker', 'radretrieval.image', 'flat', 'UPDATE')"
            assert dba.execute(flat).fetchone() == (True,)
        finally:
            drop_roles(dba, [own, all_of_it])


def test_an_upgrade_grants_what_is_new_and_nothing_else(server: Server, migrated_template: str) -> None:
    with (
        server.database(template=migrated_template) as url,
        service_roles(url),
        psycopg.connect(url, autocommit=True) as dba,
    ):
        dba.execute("REVOKE SELECT ON radretrieval.pending, radretrieval.image_decoded FROM radretrieval_search")
        dba.execute("GRANT SELECT ON radretrieval.pull TO radretrieval_analyst")
        dba.execute("DROP VIEW radretrieval.coverage; ALTER TABLE radretrieval.pull DROP COLUMN change")
        dba.execute("DELETE FROM radretrieval.schema_object WHERE name IN ('coverage', 'retrieve')")
        migrations.upgrade(url)
        may = "SELECT has_table_privilege('radretrieval_{}', 'radretrieval.{}', 'SELECT')"
        found = [
            dba.execute(may.format(*one)).fetchone()[0]  # type: ignore[call-overload,index]
            for one in [
                ("search", "coverage"),
                ("analyst", "coverage"),
                ("worker", "coverage"),
                ("search", "pending"),
                ("analyst", "pull"),
            ]
        ]
        assert found == [True, True, False, False, True]


def test_locks_that_any_role_may_take_stop_nobody(roled: Roled, sessions: dict[str, Any]) -> None:
    for made in (sessions["analyst"], sessions["none"]):
        made.execute("SELECT pg_try_advisory_lock(%s), pg_try_advisory_lock(726632015, 1)", (migrations.LOCK,))
    try:
        with connections.connect(roled.url_of("owner")) as made:
            made.execute("ALTER FUNCTION radretrieval.similar COST 101")
        roled.run("owner", "db", "upgrade")
        roled.run("owner", "index", "build")
    finally:
        for made in (sessions["analyst"], sessions["none"]):
            made.execute("SELECT pg_advisory_unlock_all()")
