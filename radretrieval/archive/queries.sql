-- Every statement of the archive: `-- :name description`, then the SQL (psycopg's parameters).

-- :server Versions and schema of the database that answers, in one row.
SELECT current_setting('server_version_num')::int AS server_number,
       current_setting('server_version') AS server_version,
       current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby,
       (SELECT datcollversion FROM pg_database d WHERE d.datname = current_database()) AS collation_made,
       (SELECT pg_database_collation_actual_version(d.oid) FROM pg_database d WHERE d.datname = current_database())
           AS collation_here,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector_version,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS pgvector_available,
       (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector') AS pgvector_schema,
       to_regclass('radretrieval.alembic_version') IS NOT NULL AS has_schema,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       current_database() AS database, current_user AS role;

-- :standby Whether this server is a standby, which takes no writes.
SELECT pg_is_in_recovery() AS standby;

-- :revision The schema's revision.
SELECT version_num FROM radretrieval.alembic_version;

-- :images_known Which of these contents are in the archive, where they were found, and since when they are withdrawn.
SELECT DISTINCT ON (sha256) sha256, id, uri, gone_at, hidden_at FROM image WHERE sha256 = ANY(%(sha256)s) ORDER BY sha256, frame;

-- :lock_named The lock of this name, until the transaction ends; not taken where another has it for so many seconds.
SELECT lock_named(%(name)s, %(seconds)s) AS taken;

-- :lock_contents The lock of each SHA-256, until the transaction ends.
SELECT lock_contents(%(sha256)s, %(seconds)s) AS taken;

-- :lock_contents_or_fail The same; it fails, with a division by zero, where they were not taken: what was sent behind it is not done.
SELECT 1 / lock_contents(%(sha256)s, %(seconds)s)::int AS taken;

-- :lock_holders Who may have a lock of a name (RowShareLock) or of a content (RowExclusiveLock): which one, the server does not say.
SELECT DISTINCT l.pid FROM pg_locks l
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.mode = %(mode)s
  AND l.relation = 'radretrieval.write_lock'::regclass AND l.granted AND l.pid <> pg_backend_pid()
  AND NOT EXISTS (SELECT FROM pg_locks w WHERE w.pid = l.pid AND NOT w.granted);

-- :advisory_holder Who has an advisory lock.
SELECT l.pid FROM pg_locks l
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.locktype = 'advisory' AND l.granted
  AND l.classid::bigint << 32 | l.objid::bigint = %(key)s;

-- :upgrade_turn Whether this session may upgrade: it has the advisory lock, or only sessions have it whose role could not upgrade, as
-- any role may take one.
SELECT pg_try_advisory_lock(%(key)s) OR NOT EXISTS (
    SELECT FROM pg_locks l CROSS JOIN LATERAL pg_stat_get_activity(l.pid) a
    WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.locktype = 'advisory' AND l.granted
      AND l.classid::bigint << 32 | l.objid::bigint = %(key)s
      AND coalesce(has_schema_privilege(a.usesysid, to_regnamespace('radretrieval')::oid, 'CREATE'), true)) AS mine;

-- :table_users Sessions that have locks on these tables; `readers`: those that only read too.
SELECT DISTINCT l.pid FROM pg_locks l
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted AND l.pid <> pg_backend_pid()
  AND l.relation IN (SELECT to_regclass(t) FROM unnest(%(tables)s::text[]) t)
  AND (%(readers)s OR l.mode NOT IN ('AccessShareLock', 'RowShareLock'));

-- :sessions Who these are; of other roles' sessions a role that may not see more is told role and program.
SELECT a.pid, coalesce(a.usename::text, 'none') AS role, a.application_name AS program, a.client_addr::text AS host, a.state,
       a.xact_start AS since
FROM pg_stat_activity a WHERE a.pid = ANY (%(pids)s) ORDER BY a.pid;

-- :blocked Sessions that use the archive's tables and have waited for a lock for more than so many seconds, and for whom.
SELECT l.pid, extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8 AS seconds, pg_blocking_pids(l.pid) AS by
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database()
WHERE NOT l.granted AND l.waitstart < clock_timestamp() - make_interval(secs => %(seconds)s)
  AND EXISTS (SELECT FROM pg_locks u JOIN pg_class c ON c.oid = u.relation
              WHERE u.pid = l.pid AND c.relnamespace = to_regnamespace('radretrieval'))
GROUP BY l.pid ORDER BY 2 DESC;

-- :images_staging Where COPY puts new images; it goes with the transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming (LIKE radretrieval.image INCLUDING DEFAULTS) ON COMMIT DROP;

-- :images_merge Take the staged images over, in order; what the archive has already stays as it is.
INSERT INTO image ({columns}) SELECT {columns} FROM incoming ORDER BY id ON CONFLICT DO NOTHING RETURNING sha256, id;

-- :image_by_sop The images that hold a SOP Instance UID.
SELECT sop_instance_uid, id, uri, frame, pixels_sha256, shown_sha256, sha256, gone_at, hidden_at, labelled, {header}
FROM image WHERE sop_instance_uid = ANY(%(uids)s) ORDER BY id;

-- :images_newest_kept What the store must have, of the newest images; not of all, which may be millions without any.
SELECT sha256, frame, kept FROM (SELECT id, sha256, frame, kept, uri, gone_at FROM image ORDER BY id DESC LIMIT 1000) i
WHERE gone_at IS NULL AND (kept IS NOT NULL OR starts_with(uri, 'store:')) ORDER BY id DESC LIMIT %(limit)s;

-- :image_of_study The first image of a study; one that is withdrawn only where all are.
SELECT id FROM image WHERE study_instance_uid = %(uid)s ORDER BY hidden_at IS NOT NULL, id LIMIT 1;

-- :images_hidden Whether one of these images is withdrawn.
SELECT EXISTS (SELECT FROM image WHERE hidden_at IS NOT NULL AND id = ANY(%(ids)s)) AS hidden;

-- :image_relabel Labels given for an image that is in the archive already; NULL leaves a column as it is, `no_code` sets
-- the IRMA code to NULL, and another code resets `withdrawn`.
UPDATE image i SET ({labels}) = ({new})
FROM (SELECT o.id, c.irma_code, {given},
             coalesce(%(withdrawn)s, o.withdrawn AND c.irma_code IS NOT DISTINCT FROM o.irma_code) AS withdrawn
      FROM image o,
           LATERAL (SELECT CASE WHEN %(no_code)s THEN NULL ELSE coalesce(%(irma_code)s, o.irma_code) END AS irma_code) c
      WHERE o.id = %(id)s) n
WHERE i.id = n.id AND ({old}) IS DISTINCT FROM ({new});

-- :image_labelled Columns that a person has set.
UPDATE image SET labelled = ARRAY(SELECT DISTINCT unnest(labelled || %(labelled)s::text[]) ORDER BY 1)
WHERE id = %(id)s AND NOT labelled @> %(labelled)s::text[];

-- :image_moved The file of an image, and of the other frames in it, is at another place now.
UPDATE image i SET uri = %(uri)s || coalesce(substring(i.uri FROM '#frame=[0-9]+$'), ''), gone_at = NULL,
    kept = coalesce(%(kept)s, i.kept)
FROM image n WHERE n.id = %(id)s AND i.sha256 = n.sha256;

-- :images_lock These images wait for whoever encodes them.
SELECT FROM image WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE;

-- :image_follow A newer file shows the same pixels.
UPDATE image SET {columns}, gone_at = NULL WHERE id = %(id)s;

-- :codes_forget An image has to be encoded anew, by every encoder.
WITH c AS (DELETE FROM cnnc WHERE image_id = %(id)s), b AS (DELETE FROM barcode WHERE image_id = %(id)s),
     f AS (DELETE FROM coding_failure WHERE image_id = %(id)s), h AS (DELETE FROM cnnc_hidden WHERE image_id = %(id)s)
DELETE FROM neighbour WHERE image_id = %(id)s OR neighbour_id = %(id)s;

-- :history_add What a newer file replaced.
INSERT INTO image_history (image_id, origin, sha256, old) VALUES (%(image_id)s, %(origin)s, %(sha256)s, %(old)s);

-- :history_replaced The image whose file this was before a correction.
SELECT h.image_id FROM image_history h JOIN image i ON i.id = h.image_id
WHERE h.sha256 = %(sha256)s AND i.sha256 <> %(sha256)s ORDER BY h.id DESC LIMIT 1;

-- :history_of What newer files replaced, the last first.
SELECT changed_at, old FROM image_history WHERE image_id = %(image_id)s ORDER BY id DESC;

-- :image_moved_from What was at one place is at another now, every frame of it.
UPDATE image i SET uri = %(new)s || substr(i.uri, length(%(old)s) + 1)
WHERE i.sha256 IN (SELECT n.sha256 FROM image n WHERE n.uri IN (%(old)s, %(old)s || '#frame=1'))
  AND (i.uri = %(old)s OR starts_with(i.uri, %(old)s || '#frame='));

-- :failure_moved_from The same of a file that was not taken; of one that both places name the newer row stays.
UPDATE ingest_failure f SET uri = %(new)s
WHERE f.uri = %(old)s AND NOT EXISTS (SELECT FROM ingest_failure n WHERE n.uri = %(new)s);

-- :path_taken_out Messages of failures of a file do not name its path.
WITH ingested AS (UPDATE ingest_failure SET message = replace(message, %(path)s, 'the file') WHERE uri = %(uri)s)
UPDATE coding_failure f SET message = replace(f.message, %(path)s, 'the file') FROM image i
WHERE f.image_id = i.id
  AND i.sha256 IN (SELECT n.sha256 FROM image n WHERE n.uri IN (%(uri)s, %(uri)s || '#frame=1'));

-- :images_after The next images by id.
SELECT id, uri, sha256, frame, flat IS NULL OR (format = 'dicom' AND pixels_sha256 IS NULL) AS incomplete
FROM image WHERE id > %(after)s ORDER BY id LIMIT %(limit)s;

-- :image_complete Columns from the header that an older version did not keep.
UPDATE image SET {columns} WHERE id = %(id)s;

-- :content_named Contents that something in the archive names.
SELECT sha256 FROM image WHERE sha256 = ANY(%(sha256)s)
UNION SELECT sha256 FROM arrival WHERE sha256 = ANY(%(sha256)s)
UNION SELECT sha256 FROM ingest_failure WHERE sha256 = ANY(%(sha256)s);

-- :failure_keep Remember why a file was not taken.
INSERT INTO ingest_failure (uri, sha256, error, message, origin, sop_instance_uid)
VALUES (%(uri)s, %(sha256)s, %(error)s, %(message)s, %(origin)s, %(sop_instance_uid)s)
ON CONFLICT (uri) DO UPDATE SET sha256 = excluded.sha256, error = excluded.error, message = excluded.message,
    origin = excluded.origin, sop_instance_uid = excluded.sop_instance_uid,
    attempts = ingest_failure.attempts + 1, last_at = now();

-- :hidden_uri A path that was hidden.
SELECT uri FROM image WHERE starts_with(uri, 'file:hidden/') ORDER BY id DESC LIMIT 1;

-- :failure_uris Files that were not taken.
SELECT uri FROM ingest_failure WHERE starts_with(uri, 'file:') ORDER BY uri;

-- :failure_forget Files that are in the archive now, or gone from the disk.
DELETE FROM ingest_failure WHERE uri = ANY(%(uris)s);

-- :image_identities What DICOM calls these images, and whose they are; none that is withdrawn.
SELECT id, sop_class_uid, sop_instance_uid, series_instance_uid, study_instance_uid, frame, same_uid, modality,
       patient_key, uri, sha256
FROM image WHERE id = ANY(%(ids)s) AND hidden_at IS NULL;

-- :image_row What the page and the API show of an image that is not withdrawn.
SELECT id, uri, sha256, format, rows, columns, bits_stored, photometric, irma_code, split, patient_key, modality,
       body_part, view_position, laterality, withdrawn, sop_instance_uid, series_instance_uid, study_instance_uid,
       sop_class_uid, frame, same_uid, study_date, manufacturer, row_spacing, column_spacing, kvp, exposure, flat, header,
       gone_at
FROM image WHERE id = %(id)s AND hidden_at IS NULL;

-- :training Images of a split that have a class; a class that was taken back teaches nothing, nor does an image that is withdrawn.
SELECT uri, sha256, irma_code, patient_key FROM image
WHERE split = %(split)s AND irma_code IS NOT NULL AND NOT withdrawn AND hidden_at IS NULL ORDER BY id;

-- :splits How many images each split has, without those that are withdrawn.
SELECT coalesce(split, '(none)') AS split, count(*) AS images FROM image WHERE hidden_at IS NULL GROUP BY 1 ORDER BY 1;

-- :counts What `status` tells. A failure counts while the image or file is not in order, and the image is not withdrawn.
SELECT (SELECT count(*) FROM image) AS images,
       (SELECT count(*) FROM cnnc WHERE encoder_id = (SELECT id FROM encoder WHERE active)) AS coded,
       (SELECT count(*) FROM ingest_failure)
         + (SELECT count(*) FROM coding_failure f WHERE f.encoder_id = (SELECT id FROM encoder WHERE active)
            AND NOT EXISTS (SELECT FROM image i WHERE i.id = f.image_id AND i.hidden_at IS NOT NULL)) AS failed,
       (SELECT count(*) FROM encoder) AS encoders,
       (SELECT count(*) FROM arrival) AS arrived,
       (SELECT count(*) FROM image WHERE hidden_at IS NOT NULL) AS hidden,
       (SELECT count(*) FROM image WHERE gone_at IS NOT NULL) AS gone,
       (SELECT count(*) FROM image WHERE same_uid) AS same_uid,
       (SELECT count(*) FROM image WHERE flat) AS flat,
       pg_database_size(current_database()) AS database_bytes;

-- :encoder_add A trained network, not active yet.
INSERT INTO encoder (profile, profile_hash, classes, weights, weights_sha256, metrics, calibration)
VALUES (%(profile)s, %(profile_hash)s, %(classes)s, %(weights)b, %(weights_sha256)s, %(metrics)s, %(calibration)s) RETURNING id;

-- :encoder_lock One at a time adds encoders or switches between them.
LOCK TABLE encoder IN SHARE ROW EXCLUSIVE MODE;

-- :as_owner For the rest of the transaction, where this role may: what is created belongs to the owner of the schema, and has
-- the owner's default privileges.
WITH b AS MATERIALIZED (SELECT current_setting('role') AS role)
SELECT b.role, set_config('role', pg_get_userbyid(n.nspowner), true) FROM b, pg_namespace n,
       (SELECT CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END AS right) r
WHERE n.nspname = 'radretrieval' AND pg_get_userbyid(n.nspowner) <> current_user
  AND pg_has_role(current_user, n.nspowner, r.right) AND pg_has_role(session_user, n.nspowner, r.right);

-- :as_before The role of before, where the transaction goes on.
SELECT set_config('role', %(role)s, true);

-- :encoder_may_add Whether this role may create the partition of an encoder and attach it.
SELECT has_schema_privilege(c.relnamespace, 'CREATE') AND pg_has_role(c.relowner, 'USAGE') AS yes FROM pg_class c
WHERE c.oid = 'radretrieval.cnnc'::regclass;

-- :encoder_partition Codes of one encoder lie together.
CREATE TABLE {partition} (LIKE cnnc INCLUDING ALL);

-- :encoder_partition_attached Attached, because CREATE … PARTITION OF would lock searches and workers out.
ALTER TABLE cnnc ATTACH PARTITION {partition} FOR VALUES IN ({encoder});

-- :encoder_triggers The exact indexes follow what is written to the partition itself.
SELECT radretrieval.exact_create_triggers('{partition}');

-- :encoder_one One encoder (or the active one), without its weights, and the indexes of its codes. The graph of HNSW
-- knows no policies: a role that row-level security is active for does not use it. Another state: a search may go another
-- way, or be judged otherwise. With the schema's name, as audit_search needs it.
SELECT f.*, concat_ws(' ', f.id, f.active, md5(concat_ws(' ', f.profile, f.classes, f.weights_sha256, f.trained_on, f.calibration)),
                      f.hnsw, f.exact, f.recall, f.recall_worst) AS state
FROM (SELECT e.id, e.profile, e.classes, e.weights_sha256, e.active, e.metrics ->> 'split' AS trained_on, e.calibration,
             EXISTS (SELECT FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
                     WHERE x.indrelid = to_regclass('radretrieval.cnnc_' || e.id) AND a.amname = 'hnsw'
                       AND x.indisvalid AND NOT row_security_active('radretrieval.image')) AS hnsw,
             x.id AS exact, CASE WHEN x.id IS NOT NULL THEN NOT radretrieval.exact_kept(x.id) END AS bypassed, h.recall, h.recall_worst
      FROM radretrieval.encoder e LEFT JOIN radretrieval.exact_index x ON x.encoder_id = e.id AND x.live
      LEFT JOIN radretrieval.hnsw_audit h ON h.encoder_id = e.id
      WHERE CASE WHEN %(id)s::int IS NULL THEN e.active ELSE e.id = %(id)s END) f;

-- :encoder_weights The weights.
SELECT weights FROM encoder WHERE id = %(id)s;

-- :encoder_metrics What was noted of its training.
SELECT metrics FROM encoder WHERE id = %(id)s;

-- :encoder_same An encoder with the same weights, profile and classes.
SELECT min(id) AS id FROM encoder WHERE weights_sha256 = %(weights)s AND profile_hash = %(hash)s AND classes = %(classes)s
HAVING count(*) > 0;

-- :encoder_list All encoders and how many codes each has.
SELECT e.id AS encoder_id, e.profile ->> 'name' AS profile, e.active,
       (SELECT count(*) FROM cnnc c WHERE c.encoder_id = e.id) AS codes, e.created_at
FROM encoder e ORDER BY e.id;

-- :encoder_off No encoder is active.
UPDATE encoder SET active = false WHERE active AND id <> %(id)s;

-- :encoder_on This encoder is active.
UPDATE encoder SET active = true WHERE id = %(id)s AND NOT active;

-- :encoder_facts Indexes of an encoder's codes, those that were begun too, measurements of them, and whether this role may drop
-- the codes.
SELECT (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = '{partition}'::regclass) AS owned,
       (SELECT count(*) FROM exact_index WHERE encoder_id = %(id)s)::int AS exact_indexes,
       (SELECT count(*) FROM hnsw_audit WHERE encoder_id = %(id)s)::int AS audits;

-- :encoder_neighbours_off What was computed from an encoder's codes is deleted with it.
WITH gone AS (DELETE FROM neighbour WHERE encoder_id = %(id)s RETURNING 1) SELECT count(*) AS rows FROM gone;

-- :encoder_failures_off Why images have no code of it.
WITH gone AS (DELETE FROM coding_failure WHERE encoder_id = %(id)s RETURNING 1) SELECT count(*) AS rows FROM gone;

-- :encoder_codes_lock Nobody reads or writes codes until this transaction ends.
LOCK TABLE cnnc, {partition} IN ACCESS EXCLUSIVE MODE;

-- :encoder_codes Codes of an encoder.
SELECT count(*) AS rows FROM cnnc WHERE encoder_id = %(id)s;

-- :encoder_codes_off They go with their table.
DROP TABLE {partition};

-- :encoder_delete An encoder that has no codes, and whether another one has its weights.
WITH gone AS (DELETE FROM encoder WHERE id = %(id)s AND NOT active RETURNING id, weights_sha256)
SELECT EXISTS (SELECT FROM encoder o WHERE o.weights_sha256 = g.weights_sha256 AND o.id <> g.id) AS shared FROM gone g;

-- :geometry The id of a barcode geometry.
SELECT id FROM geometry WHERE size = %(size)s AND angles = %(angles)s AND bins = %(bins)s AND rule = %(rule)s;

-- :geometry_add A barcode geometry that is new.
INSERT INTO geometry (size, angles, bins, rule) VALUES (%(size)s, %(angles)s, %(bins)s, %(rule)s)
ON CONFLICT DO NOTHING;

-- :lock_timeout How long a claim may wait for a lock (0: for ever), in this transaction.
SELECT set_config('lock_timeout', %(milliseconds)s, true);

-- :claim Images without a code of this encoder that no other worker holds, from a place on; none of one that was deleted, and
-- none that is withdrawn: of a row that was changed since, the server tests that again under the lock.
SELECT i.id, i.uri, i.sha256 FROM image i
WHERE i.id > %(after)s AND i.hidden_at IS NULL
  AND EXISTS (SELECT FROM encoder e WHERE e.id = %(encoder)s)
  AND NOT EXISTS (SELECT FROM cnnc c WHERE c.encoder_id = %(encoder)s AND c.image_id = i.id)
  AND NOT EXISTS (SELECT FROM coding_failure f WHERE f.encoder_id = %(encoder)s AND f.image_id = i.id
                  AND f.last_at >= %(since)s
                  AND (NOT %(again)s OR f.last_at + least(interval '1 day', interval '1 minute' * 2 ^ least(f.attempts, 12))
                       > now()))
ORDER BY i.id LIMIT %(limit)s FOR NO KEY UPDATE OF i SKIP LOCKED;

-- :claim_done Which of the claimed images another worker coded between our snapshot and our lock.
SELECT image_id FROM cnnc WHERE encoder_id = %(encoder)s AND image_id = ANY(%(ids)s);

-- :claim_barcoded Which of the claimed images have a barcode of this geometry already.
SELECT image_id FROM barcode WHERE geometry_id = %(geometry)s AND image_id = ANY(%(ids)s);

-- :pending_count How many images have no code of this encoder, and are not withdrawn.
SELECT count(*) FROM image i WHERE i.hidden_at IS NULL AND NOT EXISTS (SELECT FROM cnnc c WHERE c.encoder_id = %(encoder)s AND c.image_id = i.id);

-- :coding_failure_keep Remember why an image could not be coded.
INSERT INTO coding_failure (encoder_id, image_id, error, message, last_at)
VALUES (%(encoder)s, %(image)s, %(error)s, %(message)s, clock_timestamp())
ON CONFLICT (encoder_id, image_id) DO UPDATE SET error = excluded.error, message = excluded.message,
    attempts = coding_failure.attempts + 1, last_at = excluded.last_at;

-- :coding_failure_forget Images that have a code now.
DELETE FROM coding_failure WHERE encoder_id = %(encoder)s AND image_id = ANY(%(ids)s);

-- :codes_of_split Codes, barcodes and classes of a split, by id; every image if the split is NULL.
SELECT c.image_id, substring(bit_send(c.code) FROM 5) AS code, b.code AS barcode, i.irma_code, i.uri, i.sha256
FROM cnnc c JOIN image i ON i.id = c.image_id
LEFT JOIN barcode b ON b.image_id = c.image_id AND b.geometry_id = %(geometry)s
WHERE c.encoder_id = %(encoder)s AND (%(splits)s::text[] IS NULL OR i.split = ANY(%(splits)s))
  AND (NOT %(labelled)s OR i.irma_code IS NOT NULL) AND (%(withdrawn)s OR NOT i.withdrawn)
ORDER BY c.image_id;

-- :nearest The nearest codes, with barcodes and images, in one round trip; ids settle ties.
SELECT n.image_id, n.distance, n.path, b.code AS barcode, i.uri, i.sha256, i.irma_code, i.patient_key, i.study_instance_uid, i.study_date,
       i.modality, i.body_part, i.view_position, i.laterality
FROM cnnc_nearest(%(code)s::bit(1000), %(limit)s, %(encoder)s, %(filter)s) n
JOIN image i ON i.id = n.image_id
LEFT JOIN barcode b ON b.image_id = n.image_id AND b.geometry_id = %(geometry)s
ORDER BY n.distance, n.image_id;

-- :nearest_distances The distances of the nearest codes.
SELECT distance FROM cnnc_nearest(%(code)s::bit(1000), %(limit)s, %(encoder)s) ORDER BY distance;

-- :hnsw_audited What was measured of an HNSW index.
INSERT INTO hnsw_audit (encoder_id, recall, recall_worst, sample, codes)
VALUES (%(encoder)s, %(recall)s, %(worst)s, %(sample)s, %(codes)s)
ON CONFLICT (encoder_id) DO UPDATE SET recall = excluded.recall, recall_worst = excluded.recall_worst,
    sample = excluded.sample, codes = excluded.codes, measured_at = excluded.measured_at;

-- :hnsw_not_audited The index that it was measured of is another, or gone.
DELETE FROM hnsw_audit WHERE encoder_id = %(encoder)s;

-- :nearest_matched How many coded images pass a filter.
SELECT cnnc_matched(%(encoder)s, %(filter)s, %(most)s) AS matched;

-- :nearest_hidden How many codes are within a distance, and how many of them are of these images.
SELECT cnnc_within(%(code)s::bit(1000), %(distance)s, %(encoder)s, %(most)s) AS nearer,
       (SELECT count(*) FROM cnnc c WHERE c.encoder_id = %(encoder)s AND c.image_id = ANY(%(own)s)
          AND c.code <~> %(code)s::bit(1000) <= %(distance)s) AS own;

-- :nearest_hnsw The same through the HNSW index.
SELECT n.image_id, n.distance::int, b.code AS barcode, i.uri, i.sha256, i.irma_code, i.patient_key, i.study_instance_uid, i.study_date,
       i.modality, i.body_part, i.view_position, i.laterality
FROM (SELECT c.image_id, c.code <~> %(code)s::bit(1000) AS distance
      FROM cnnc c WHERE c.encoder_id = %(encoder)s
      ORDER BY c.code <~> %(code)s::bit(1000) LIMIT %(limit)s) n
JOIN image i ON i.id = n.image_id
LEFT JOIN barcode b ON b.image_id = n.image_id AND b.geometry_id = %(geometry)s
ORDER BY n.distance, n.image_id;

-- :nearest_of_images The nearest codes, among some, of each of many images; never its own. The CTE is read from the table once,
-- and no index on the distance can answer for it; ids settle ties.
WITH among AS MATERIALIZED (
    SELECT c.image_id, c.code FROM cnnc c WHERE c.encoder_id = %(encoder)s AND c.image_id = ANY(%(among)s))
SELECT q.image_id AS query, array_agg(n.image_id ORDER BY n.distance, n.image_id) AS image_ids,
       array_agg(n.distance ORDER BY n.distance, n.image_id) AS distances
FROM cnnc q CROSS JOIN LATERAL (
    SELECT a.image_id, (a.code <~> q.code)::int AS distance FROM among a WHERE a.image_id <> q.image_id
    ORDER BY distance, a.image_id LIMIT %(limit)s) n
WHERE q.encoder_id = %(encoder)s AND q.image_id = ANY(%(queries)s)
GROUP BY q.image_id;

-- :stored Images by one or by several values of {column}, with code and barcode where they have them, none that is withdrawn;
-- the first frame of a file comes last. For one value, = lets PostgreSQL keep the plan: four times as fast as ANY.
SELECT i.id, i.uri, i.sha256, i.patient_key, i.irma_code, i.flat, substring(bit_send(c.code) FROM 5) AS code, b.code AS barcode
FROM image i LEFT JOIN cnnc c ON c.encoder_id = %(encoder)s AND c.image_id = i.id
LEFT JOIN barcode b ON b.geometry_id = %(geometry)s AND b.image_id = i.id
WHERE i.{column} = {values} AND i.hidden_at IS NULL ORDER BY i.frame DESC;

-- :coded_ids Images that have a code of an encoder, by id, from a place on.
SELECT image_id FROM cnnc WHERE encoder_id = %(encoder)s AND image_id > %(after)s ORDER BY image_id LIMIT %(limit)s;

-- :nearest_of_codes The nearest codes of each of many queries, with the barcodes of those that have one, a row a query.
SELECT q.place::int AS place, min(n.path) AS path,
       array_agg(n.image_id ORDER BY n.image_id) FILTER (WHERE b.code IS NOT NULL) AS image_ids,
       array_agg(n.distance ORDER BY n.image_id) FILTER (WHERE b.code IS NOT NULL) AS distances,
       string_agg(b.code, ''::bytea ORDER BY n.image_id) AS barcodes
FROM unnest(%(codes)s::bit(1000)[], %(filters)s::jsonb[]) WITH ORDINALITY q (code, filter, place)
CROSS JOIN LATERAL cnnc_nearest(q.code, %(limit)s, %(encoder)s, q.filter) n
LEFT JOIN barcode b ON b.image_id = n.image_id AND b.geometry_id = %(geometry)s
GROUP BY q.place;

-- :site_settings What a question to a site sets for its transaction: our tables first, and ends for what takes longer than is waited.
SELECT set_config('search_path', 'radretrieval, public', true), set_config('statement_timeout', %(milliseconds)s, true),
       set_config('tcp_user_timeout', '10s', true);

-- :site_nearest The nearest codes of a site, with barcodes and images, as `nearest` gives those of this archive.
SELECT n.image_id, n.distance, n.path, n.pseudonyms, b.code AS barcode, i.uri, i.sha256, i.irma_code, i.patient_key,
       i.study_instance_uid, i.study_date, i.modality, i.body_part, i.view_position, i.laterality
FROM federated_nearest(%(code)s::bit(1000), %(limit)s, %(weights)s, %(filter)s::jsonb, %(asked)s::jsonb) n
JOIN image i ON i.id = n.image_id
LEFT JOIN geometry g ON g.size = %(size)s AND g.angles = %(angles)s AND g.bins = %(bins)s AND g.rule = %(rule)s
LEFT JOIN barcode b ON b.image_id = n.image_id AND b.geometry_id = g.id
ORDER BY n.distance, n.image_id;

-- :site_film What names a film in every archive that has it.
SELECT encode(sha256, 'hex') AS sha256, frame, sop_instance_uid, encode(pixels_sha256, 'hex') AS pixels_sha256
FROM image WHERE id = %(id)s;

-- :site_pseudonyms What federated_nearest compares to know whether the same key makes the same pseudonyms.
SELECT jsonb_build_array(check_value, plain_issuer)::text AS pseudonyms FROM patient_key_check WHERE check_value IS NOT NULL;

-- :site_state What `federation status` tells of a site.
SELECT (SELECT version_num FROM radretrieval.alembic_version) AS revision, (SELECT count(*) FROM radretrieval.image) AS images,
       pg_is_in_recovery() AS standby,
       CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END AS lag_seconds,
       to_regprocedure('radretrieval.federated_nearest(bit, integer, text, jsonb, jsonb)') IS NOT NULL AS askable;

-- :site_encoders Encoders of a site by their weights, and how many codes each has.
SELECT e.id AS encoder_id, e.profile ->> 'name' AS profile, encode(e.weights_sha256, 'hex') AS weights_sha256, e.active,
       (SELECT count(*) FROM radretrieval.cnnc c WHERE c.encoder_id = e.id) AS codes
FROM radretrieval.encoder e ORDER BY e.id;

-- :hit_facts What answers tell of images; nothing of those that are withdrawn.
SELECT i.id, i.uri, i.sha256, i.irma_code, i.patient_key, i.study_instance_uid, i.study_date,
       i.modality, i.body_part, i.view_position, i.laterality
FROM image i WHERE i.id = ANY(%(ids)s::bigint[]) AND i.hidden_at IS NULL;

-- :batch_settings For one transaction of long scans: room for the codes, and no JIT, which costs more than it saves here.
SELECT set_config('work_mem', %(memory)s, true), set_config('jit', 'off', true);

-- :index_build An HNSW index over the codes of one encoder; m = 32, because at 16 whole clusters of codes are never found.
CREATE INDEX {index}_new ON {partition} USING hnsw (code bit_hamming_ops) WITH (m = 32, ef_construction = 64);

-- :index_rename The new index takes the old one's place.
ALTER INDEX radretrieval.{index}_new RENAME TO {index};

-- :index_drop Searches scan exactly again.
DROP INDEX IF EXISTS {index};

-- :index_sample Codes to ask the index for.
SELECT image_id, code::text AS code FROM {partition} ORDER BY md5(image_id::text) LIMIT %(sample)s;

-- :schema_usable Whether this role can make tables in a schema radretrieval that the DBA made for it.
SELECT coalesce(has_schema_privilege(to_regnamespace('radretrieval')::oid, 'CREATE'), false) AS usable;

-- :hnsw_settings For one transaction: look at enough of the graph, and at nothing but the graph.
SELECT set_config('hnsw.ef_search', %(ef)s, true), set_config('enable_seqscan', 'off', true),
       set_config('enable_sort', 'off', true);

-- :hnsw_settings_off Back to the planner's choice, should the transaction go on.
SELECT set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true);

-- :partition_rows Codes of one encoder.
SELECT count(*) AS rows FROM {partition};

-- :index_memory Memory for building an index, for one transaction.
SELECT set_config('maintenance_work_mem', %(memory)s, true);

-- :now The database's clock.
SELECT clock_timestamp() AS now;

-- :listen The channel of the triggers `pending_notice`.
LISTEN radretrieval_pending;

-- :left_out What of some splits (NULL: of all) is scored, and what is not and why; images that are withdrawn are not counted.
SELECT count(irma_code) FILTER (WHERE %(withdrawn)s OR NOT withdrawn) AS labelled,
       count(*) FILTER (WHERE irma_code IS NULL) AS unlabelled,
       count(irma_code) FILTER (WHERE withdrawn AND NOT %(withdrawn)s) AS withdrawn
FROM image WHERE hidden_at IS NULL AND (%(splits)s::text[] IS NULL OR split = ANY(%(splits)s));

-- :session For every connection: our tables before pgvector's, claims that may be held while a large batch is decoded, and
-- statements that see what others have committed, as the triggers of codes need it. Behind a pooler, which tells another
-- process id than the server that answers, nothing is set: it would stay with a connection that others use.
SELECT s.direct,
       CASE WHEN s.direct OR %(anyway)s THEN
           concat(set_config('search_path', 'radretrieval, public', false),
                  set_config('default_transaction_isolation', 'read committed', false),
                  set_config('idle_in_transaction_session_timeout', '0', false)) END
FROM (SELECT pg_backend_pid() = %(pid)s AS direct) s;

-- :backend Which process of the server answers.
SELECT pg_backend_pid() AS pid;

-- :pooled_path Behind a pooler, for one transaction: our tables before pgvector's.
SET LOCAL search_path = radretrieval, public;

-- :pooled_timeout Behind a pooler, for one transaction: claims may be held while a large batch is decoded.
SET LOCAL idle_in_transaction_session_timeout = 0;

-- :read_only This transaction writes nothing.
SET TRANSACTION READ ONLY;

-- :snapshot Every statement of this transaction sees the same moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- :code_counts Codes of one encoder, and how many of their images have a class; one that was taken back is none.
SELECT count(*) AS codes, count(i.irma_code) FILTER (WHERE NOT i.withdrawn) AS labelled,
       count(DISTINCT i.irma_code) FILTER (WHERE NOT i.withdrawn) AS classes
FROM cnnc c JOIN image i ON i.id = c.image_id WHERE c.encoder_id = %(encoder)s;

-- :code_equal Distinct codes of one encoder, and images that share theirs.
SELECT count(*) AS distinct, coalesce(sum(images) FILTER (WHERE images > 1), 0)::bigint AS sharing
FROM (SELECT count(*) AS images FROM cnnc WHERE encoder_id = %(encoder)s GROUP BY code) g;

-- :code_collisions Codes that images of different classes share: all counted, the worst with their classes and some ids.
WITH coded AS NOT MATERIALIZED (
    SELECT c.code, c.image_id, i.irma_code FROM cnnc c JOIN image i ON i.id = c.image_id
    WHERE c.encoder_id = %(encoder)s AND i.irma_code IS NOT NULL AND NOT i.withdrawn),
shared AS (
    SELECT code, count(*) AS images, count(DISTINCT irma_code) AS classes FROM coded
    GROUP BY code HAVING min(irma_code) <> max(irma_code)),
worst AS (
    SELECT code, images, classes, count(*) OVER () AS all_codes, (sum(images) OVER ())::bigint AS all_images,
           row_number() OVER (ORDER BY classes DESC, images DESC, code) AS place
    FROM shared ORDER BY place LIMIT %(most)s)
SELECT w.place, w.images, w.classes, w.all_codes, w.all_images, c.irma_code, count(*) AS members,
       (array_agg(c.image_id ORDER BY c.image_id))[1:%(image_ids)s] AS image_ids
FROM worst w JOIN coded c ON c.code = w.code
GROUP BY w.place, w.images, w.classes, w.all_codes, w.all_images, c.irma_code
ORDER BY w.place, members DESC, c.irma_code;

-- :code_sample Some codes of one encoder (of labelled images, if so asked), the same ones at every call.
SELECT substring(bit_send(c.code) FROM 5) AS code, i.irma_code FROM cnnc c JOIN image i ON i.id = c.image_id
WHERE c.encoder_id = %(encoder)s AND (NOT %(labelled)s OR i.irma_code IS NOT NULL AND NOT i.withdrawn)
ORDER BY md5(c.image_id::text) COLLATE "C", c.image_id LIMIT %(most)s;

-- :labelled_codes Every code of one encoder, by image, with the barcode, and what labels and headers say of it; a code that was
-- taken back is none.
SELECT c.image_id, substring(bit_send(c.code) FROM 5) AS code, b.code AS barcode, i.patient_key,
       CASE WHEN NOT i.withdrawn THEN i.irma_code END AS irma_code, i.body_part, i.view_position, i.laterality
FROM cnnc c JOIN image i ON i.id = c.image_id
LEFT JOIN barcode b ON b.image_id = c.image_id AND b.geometry_id = %(geometry)s WHERE c.encoder_id = %(encoder)s ORDER BY c.image_id;

-- :code_all Every code of one encoder.
SELECT substring(bit_send(code) FROM 5) AS code FROM cnnc WHERE encoder_id = %(encoder)s;

-- :exact_turn Whether this process may build the index of this encoder; the lock ends with the connection. Any role may take such
-- a lock: only those that could build count.
SELECT pg_try_advisory_lock(726632015, %(encoder)s) OR NOT EXISTS (
    SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.locktype = 'advisory'
      AND l.classid = 726632015 AND l.objid = %(encoder)s::oid AND l.granted
      AND has_table_privilege(a.usesysid, 'radretrieval.exact_index', 'INSERT')) AS mine;

-- :exact_sample Some codes from all over the partition, to choose anchors from.
SELECT substring(bit_send(code) FROM 5) AS code FROM {partition} TABLESAMPLE BERNOULLI (%(percent)s) REPEATABLE (0)
LIMIT %(most)s;

-- :exact_new An index that is not live yet.
INSERT INTO exact_index (encoder_id, live) VALUES (%(encoder)s, false) RETURNING id;

-- :exact_table Where the rows of an index lie. key is anchor * 1024 + distance.
CREATE TABLE {exact} (key integer NOT NULL, facet_id integer NOT NULL, image_id bigint NOT NULL, code bit(1000) NOT NULL);

-- :exact_stage The anchor of each image, while the index is built.
CREATE UNLOGGED TABLE {exact}_stage (image_id bigint NOT NULL, anchor integer NOT NULL);

-- :code_grants Who may do what with the codes, beside their owner.
SELECT a.privilege_type AS privilege, coalesce(quote_ident(r.rolname), 'PUBLIC') AS role
FROM pg_class c, aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.oid = 'radretrieval.cnnc'::regclass AND a.grantee <> c.relowner AND (a.grantee = 0 OR r.oid IS NOT NULL);

-- :grant They may do it with a table that came later.
GRANT {privilege} ON {table} TO {role};

-- :exact_lock Who writes codes or labels has ended, and nobody begins, until this transaction ends.
LOCK TABLE image, {partition} IN SHARE MODE;

-- :exact_codes_after Codes of one encoder, by id, from a place on; the key begins with the encoder.
SELECT image_id, substring(bit_send(code) FROM 5) AS code FROM {partition}
WHERE encoder_id = %(encoder)s AND image_id > %(after)s ORDER BY image_id LIMIT %(limit)s;

-- :exact_facets The facets of these images.
SELECT radretrieval.exact_facets(%(ids)s);

-- :exact_memory For one transaction: memory for sorting and for building indexes, and no nested loops over whole tables, which
-- the planner takes for joins of one row where many columns are compared.
SELECT set_config('work_mem', %(memory)s, true), set_config('maintenance_work_mem', %(memory)s, true),
       set_config('jit', 'off', true), set_config('enable_nestloop', 'off', true);

-- :exact_analyze_stage Statistics for the statement that follows.
ANALYZE {exact}_stage;

-- :exact_fill The rows, in the order of their keys; the server measures the distances. Images that changed meanwhile are
-- looked at again.
INSERT INTO {exact} (key, facet_id, image_id, code)
SELECT s.anchor * 1024 + (a.code <~> c.code)::int, t.id, s.image_id, c.code
FROM {exact}_stage s JOIN {partition} c ON c.image_id = s.image_id
JOIN exact_anchor a ON a.index_id = {index} AND a.anchor = s.anchor
JOIN (SELECT i.image_id, t.id FROM image_facet i NATURAL JOIN facet t) t ON t.image_id = s.image_id
ORDER BY 1;

-- :exact_stage_off The stage has served.
DROP TABLE {exact}_stage;

-- :exact_index_key What a search reads.
CREATE INDEX ON {exact} (key);

-- :exact_index_image What changes of an image read.
ALTER TABLE {exact} ADD PRIMARY KEY (image_id);

-- :exact_index_facet What a search among few images reads.
CREATE INDEX ON {exact} (facet_id);

-- :exact_bounds How near and how far the codes of each anchor are.
UPDATE exact_anchor a SET nearest = n.nearest, farthest = n.farthest, codes = n.codes
FROM (SELECT key >> 10 AS anchor, min(key & 1023) AS nearest, max(key & 1023) AS farthest, count(*) AS codes
      FROM {exact} GROUP BY 1) n
WHERE a.index_id = {index} AND a.anchor = n.anchor;

-- :exact_groups How far the codes of each group are, and how many they are.
UPDATE exact_group g SET reach = n.reach, codes = n.codes
FROM (SELECT o.first, count(*) AS codes, max((e.code <~> o.code)::int) AS reach
      FROM {exact} e JOIN (
          SELECT a.anchor, o.first, o.code FROM exact_group o JOIN exact_anchor a ON a.anchor BETWEEN o.first AND o.last
          WHERE o.index_id = {index} AND a.index_id = {index} OFFSET 0) o ON o.anchor = e.key >> 10
      GROUP BY o.first) n
WHERE g.index_id = {index} AND g.first = n.first;

-- :exact_cells Which facets the codes of each anchor have.
INSERT INTO exact_cell (index_id, facet_id, anchor, codes)
SELECT {index}, facet_id, key >> 10, count(*) FROM {exact} GROUP BY 2, 3;

-- :exact_vacuum Statistics, and marks of what every search can see.
VACUUM (ANALYZE) {exact};

-- :exact_vacuum_parts The same.
VACUUM (ANALYZE) exact_anchor, exact_group, exact_cell, facet;

-- :exact_touched Images that changed meanwhile; they are taken off the list.
WITH taken AS (
    DELETE FROM exact_touched t WHERE t.ctid = ANY (ARRAY(
        SELECT o.ctid FROM exact_touched o WHERE o.index_id = {index} LIMIT %(most)s))
    RETURNING t.image_id)
SELECT DISTINCT image_id FROM taken;

-- :exact_take These images leave the index.
DELETE FROM {exact} WHERE image_id = ANY(%(ids)s);

-- :exact_codes_of The codes that these images have now.
SELECT image_id, substring(bit_send(code) FROM 5) AS code FROM {partition}
WHERE encoder_id = %(encoder)s AND image_id = ANY(%(ids)s) ORDER BY image_id;

-- :exact_put They enter the index, each with its anchor.
SELECT radretrieval.exact_put({index}, %(ids)s, %(anchors)s);

-- :exact_forget No search begins to use these indexes any more; their tables are removed later.
DELETE FROM exact_index WHERE encoder_id = %(encoder)s AND live = %(live)s;

-- :exact_kept Whether an index has every code.
SELECT radretrieval.exact_kept({index}) AS kept;

-- :exact_followed Whether every trigger that keeps an index of this encoder true is there, and was never disabled.
SELECT radretrieval.exact_followed(%(encoder)s) AS followed;

-- :exact_distrust Indexes whose triggers are off are not used until they are built anew.
SELECT radretrieval.exact_distrust();

-- :exact_live Searches use this index.
UPDATE exact_index SET live = true, live_at = clock_timestamp(),
    codes = (SELECT sum(a.codes) FROM exact_anchor a WHERE a.index_id = %(index)s)
WHERE id = %(index)s;

-- :exact_search Searches by this index keep their plan.
SELECT radretrieval.exact_create_search({index});

-- :exact_orphans Tables of indexes that are gone, and a transaction id of now.
SELECT c.oid::regclass::text AS name, 'radretrieval.exact_near_' || substring(c.relname FROM '[0-9]+') AS search,
       pg_current_xact_id()::text AS now FROM pg_class c
WHERE c.relnamespace = 'radretrieval'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^exact_[0-9]+(_stage)?$'
  AND NOT EXISTS (SELECT FROM exact_index x WHERE x.id = substring(c.relname FROM '[0-9]+')::int);

-- :exact_readers_left A search that began before.
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND age(backend_xmin) > age(%(xid)s::xid);

-- :table_off A table that nobody reads.
DROP TABLE IF EXISTS {table};

-- :exact_off A table of an index that nobody reads, and the function that did.
DROP TABLE IF EXISTS {table}; DROP FUNCTION IF EXISTS {search};

-- :exact_anchor_codes The anchors of an index, by number.
SELECT substring(bit_send(code) FROM 5) AS code FROM exact_anchor WHERE index_id = %(index)s ORDER BY anchor;

-- :exact_say Tell the triggers of this transaction which anchors these images are near to.
SELECT set_config('radretrieval.anchors', %(said)s, true);

-- :index_facts The indexes of an encoder's codes: the exact one with how many codes it was built of and when, others that
-- were begun and not finished, and what was measured of an HNSW graph; and the codes from which on an exact index is used.
SELECT x.id AS exact, x.live_at,
       coalesce(x.codes, (SELECT sum(a.codes)::bigint FROM exact_anchor a WHERE a.index_id = x.id)) AS built_of,
       (SELECT count(*) FROM exact_index u WHERE u.encoder_id = e.id AND NOT u.live) AS unfinished,
       h.recall, h.recall_worst, h.measured_at, (SELECT c.index_from FROM search_constants() c) AS index_from
FROM encoder e LEFT JOIN exact_index x ON x.encoder_id = e.id AND x.live LEFT JOIN hnsw_audit h ON h.encoder_id = e.id
WHERE e.id = %(encoder)s;

-- :exact_of The index that searches use.
SELECT id FROM exact_index WHERE encoder_id = %(encoder)s AND live;

-- :exact_check_codes Whether every code is in the index, once and as it is.
SELECT count(c.image_id) AS codes, count(*) FILTER (WHERE e.image_id IS NULL) AS missing,
       count(*) FILTER (WHERE c.image_id IS NULL OR e.code <> c.code) AS extra
FROM {partition} c FULL JOIN {exact} e ON e.image_id = c.image_id;

-- :exact_check_rows Whether distances are true, and within the bounds of their anchors.
SELECT (SELECT count(*) FROM exact_anchor a WHERE a.index_id = {index}) AS anchors,
       count(*) FILTER (WHERE a.anchor IS NULL OR (e.key & 1023) <> (e.code <~> a.code)::int) AS distances,
       count(*) FILTER (WHERE (e.key & 1023) NOT BETWEEN a.nearest AND a.farthest
                           OR (SELECT count(*) FROM exact_group g WHERE g.index_id = {index}) > 0
                              AND a.anchor IS NOT NULL AND (g.code <~> e.code <= g.reach) IS NOT TRUE) AS bounds
FROM {exact} e LEFT JOIN exact_anchor a ON a.index_id = {index} AND a.anchor = e.key >> 10
LEFT JOIN (
    SELECT o.anchor, g.code, g.reach FROM exact_group g JOIN exact_anchor o ON o.anchor BETWEEN g.first AND g.last
    WHERE g.index_id = {index} AND o.index_id = {index} OFFSET 0) g ON g.anchor = e.key >> 10;

-- :exact_check_facets Whether rows have the facets of their images - every column that facet and image_facet share is equal -
-- and cells are noted.
SELECT count(*) FILTER (WHERE NOT EXISTS (SELECT FROM (SELECT t.*) a NATURAL JOIN (SELECT i.*) b)) AS facets,
       (SELECT count(*) FROM (SELECT DISTINCT facet_id, key >> 10 AS anchor FROM {exact}) n
        WHERE NOT EXISTS (SELECT FROM exact_cell c
                          WHERE c.index_id = {index} AND c.facet_id = n.facet_id AND c.anchor = n.anchor)) AS cells
FROM {exact} e JOIN image_facet i ON i.image_id = e.image_id LEFT JOIN facet t ON t.id = e.facet_id;

-- :exact_check_trees The B-trees that searches read, and the function of amcheck that reads one, where this role may call it.
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS "table",
       string_agg(quote_ident(a.attname), ', ' ORDER BY k.place) AS columns,
       (SELECT p.oid::regproc::text FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'amcheck'
        WHERE p.proname = 'bt_index_check' AND p.pronargs = 2 AND has_schema_privilege(p.pronamespace, 'USAGE')
          AND has_function_privilege(p.oid, 'EXECUTE')) AS amcheck
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k (number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE k.place <= i.indnkeyatts AND i.indpred IS NULL AND (i.indrelid IN ('{partition}'::regclass, '{exact}'::regclass)
      OR i.indisprimary AND i.indrelid IN ('image'::regclass, 'barcode'::regclass))
GROUP BY i.indexrelid, i.indrelid ORDER BY 1;

-- :exact_check_by_tree Reads all leaves of a B-tree: those that are not in memory, from the disk.
SELECT count(*) AS rows FROM (SELECT FROM {table} ORDER BY {columns} OFFSET 0) r;

-- :exact_check_settings Until the transaction ends, what comes in the order of an index is read by it.
SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort', 'enable_incremental_sort']) name;

-- :exact_check_amcheck Reads a B-tree, and looks for each row of its table in it.
SELECT {amcheck}(%(name)s::text::regclass, true);

-- :exact_check_nearest The nearest codes, as searches find them.
SELECT image_id, distance FROM cnnc_nearest(%(code)s::bit(1000), %(k)s, %(encoder)s) ORDER BY distance, image_id;

-- :exact_check_scan The nearest codes by a plain scan, ties included.
SELECT image_id, distance FROM (
    SELECT image_id, (code <~> %(code)s::bit(1000))::int AS distance FROM cnnc WHERE encoder_id = %(encoder)s
    ORDER BY distance FETCH FIRST (%(k)s) ROWS WITH TIES) h
ORDER BY distance, image_id LIMIT %(k)s + 10000;

-- :arrival_add Tell of files that came and are on the disk: those that are no images, or whose images are gone or about to be
-- changed by another file of their SOP Instance UID. One that waits, and comes again after another file of its SOP Instance UID,
-- is the newest.
WITH later AS (
    UPDATE arrival a SET id = DEFAULT WHERE a.sha256 = ANY(%(sha256)s::bytea[])
      AND EXISTS (SELECT FROM arrival b WHERE b.sop_instance_uid = a.sop_instance_uid AND b.id > a.id))
INSERT INTO arrival (sha256, uri, origin, sop_instance_uid)
SELECT n.* FROM unnest(%(sha256)s::bytea[], %(uri)s::text[], %(origin)s::text[], %(sop_instance_uid)s::text[])
    AS n (sha256, uri, origin, sop_instance_uid)
WHERE NOT EXISTS (SELECT FROM image i WHERE i.sha256 = n.sha256 AND (i.gone_at IS NULL OR starts_with(i.uri, 'store:')))
   OR EXISTS (SELECT FROM arrival a WHERE a.sop_instance_uid = n.sop_instance_uid AND a.sha256 <> n.sha256)
ON CONFLICT (sha256) DO NOTHING RETURNING sha256;

-- :arrival_failing Files that came and failed, with the reason of the last time, in the order of their last tries; not those of whose SOP
-- Instance UID another, which came later, is an image or waits.
SELECT s.* FROM (
    SELECT DISTINCT ON (f.sha256) f.sha256, f.uri, f.origin, f.sop_instance_uid, f.error, f.message, f.last_at FROM ingest_failure f
    WHERE f.sha256 IS NOT NULL AND NOT starts_with(f.uri, 'file:')
      AND NOT EXISTS (SELECT FROM image i WHERE i.sop_instance_uid = f.sop_instance_uid)
      AND NOT EXISTS (SELECT FROM arrival a WHERE a.sop_instance_uid = f.sop_instance_uid AND a.sha256 <> f.sha256
                      AND NOT EXISTS (SELECT FROM ingest_failure o WHERE o.sha256 = a.sha256))
    ORDER BY f.sha256, f.last_at DESC) s
ORDER BY s.last_at, s.uri;

-- :arrival_again These are to be read again, in this order, where they do not wait already.
INSERT INTO arrival (sha256, uri, origin, sop_instance_uid)
SELECT n.sha256, n.uri, n.origin, n.sop_instance_uid
FROM unnest(%(sha256)s::bytea[], %(uri)s::text[], %(origin)s::text[], %(sop_instance_uid)s::text[])
    WITH ORDINALITY AS n (sha256, uri, origin, sop_instance_uid, place)
ORDER BY n.place ON CONFLICT (sha256) DO NOTHING;

-- :arrival_reasons Why these arrivals have failed before.
SELECT f.sha256, f.error, f.message FROM ingest_failure f
JOIN unnest(%(sha256)s::bytea[], %(uri)s::text[]) AS n (sha256, uri) ON f.uri = n.uri AND f.sha256 = n.sha256;

-- :arrival_newest The last files that came and are no images yet.
SELECT sha256 FROM arrival ORDER BY id DESC LIMIT %(limit)s;

-- :arrival_unneeded Which of these contents the store keeps for nobody.
SELECT s.sha256 FROM unnest(%(sha256)s::bytea[]) AS s (sha256)
WHERE NOT EXISTS (SELECT FROM arrival a WHERE a.sha256 = s.sha256)
  AND NOT EXISTS (SELECT FROM image i WHERE i.sha256 = s.sha256 AND (i.kept = 'copy' OR starts_with(i.uri, 'store:')))
  AND NOT EXISTS (SELECT FROM ingest_failure f WHERE f.sha256 = s.sha256);

-- :arrival_take The oldest files that came and that nobody else is about to read; of those that share a SOP Instance UID the
-- oldest alone, so that the image follows the newest.
SELECT id, sha256, uri, origin, sop_instance_uid FROM arrival a
WHERE NOT EXISTS (SELECT FROM arrival b WHERE b.sop_instance_uid = a.sop_instance_uid AND b.id < a.id)
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- :arrival_done Files that came and are images now, or have failed.
DELETE FROM arrival WHERE id = ANY(%(ids)s);

-- :arrival_count How many files came and are not read yet.
SELECT count(*) FROM arrival;

-- :arrival_outcomes What became of files that came: those that are no arrivals any more.
SELECT n.sha256, f.error, f.message,
       CASE WHEN NOT EXISTS (SELECT FROM image i WHERE i.sha256 = n.sha256) THEN 'unchanged'
            WHEN EXISTS (SELECT FROM image i JOIN image_history h ON h.image_id = i.id WHERE i.sha256 = n.sha256) THEN 'updated'
            ELSE 'added' END AS outcome
FROM unnest(%(sha256)s::bytea[], %(uri)s::text[]) AS n (sha256, uri)
LEFT JOIN ingest_failure f ON f.uri = n.uri AND f.sha256 = n.sha256
WHERE NOT EXISTS (SELECT FROM arrival a WHERE a.sha256 = n.sha256);

-- :pull_mark How far the pulls of one query from one peer have come.
SELECT change, study_date, pulled_at, reconciled_at FROM pull WHERE url = %(url)s AND query = %(query)s;

-- :pull_keep A pull has come so far.
INSERT INTO pull (url, query, change, study_date, reconciled_at)
VALUES (%(url)s, %(query)s, %(change)s, %(study_date)s, %(reconciled_at)s)
ON CONFLICT (url, query) DO UPDATE SET change = coalesce(excluded.change, pull.change),
    study_date = coalesce(excluded.study_date, pull.study_date), pulled_at = now(),
    reconciled_at = coalesce(excluded.reconciled_at, pull.reconciled_at);

-- :images_of_origin Images of a peer by id, a page of them, and whether they were found gone.
SELECT sop_instance_uid, study_instance_uid, id, gone_at FROM image
WHERE origin = %(origin)s AND sop_instance_uid IS NOT NULL AND id > %(after)s
ORDER BY id LIMIT %(limit)s;

-- :images_of_uris Which of these files are images of a peer.
SELECT uri FROM image WHERE uri = ANY(%(uris)s) AND origin = %(origin)s;

-- :images_gone These are gone where they came from, or are back there; with `uris` only those whose file is still one of these.
UPDATE image SET gone_at = CASE WHEN %(gone)s THEN coalesce(gone_at, now()) END
WHERE id = ANY(%(ids)s) AND (gone_at IS NULL) = %(gone)s AND (%(uris)s::text[] IS NULL OR uri = ANY(%(uris)s::text[]));

-- :sop_contents The files of these SOP Instance UIDs that are images, or came already.
SELECT sop_instance_uid, sha256 FROM image WHERE sop_instance_uid = ANY(%(uids)s)
UNION SELECT sop_instance_uid, sha256 FROM arrival WHERE sop_instance_uid = ANY(%(uids)s);

-- :sop_as_listed Which of these instances came already, or are images where the source lists them now: by the URL of an image that is
-- read from there, by study and series of another. With `before` a study and series from before a correction will do.
SELECT n.uid FROM unnest(%(uid)s::text[], %(study)s::text[], %(series)s::text[], %(location)s::text[])
    AS n (uid, study, series, location)
WHERE EXISTS (SELECT FROM arrival a WHERE a.sop_instance_uid = n.uid)
   OR EXISTS (SELECT FROM image i WHERE i.sop_instance_uid = n.uid AND (
        CASE WHEN starts_with(i.uri, %(origin)s || '/') THEN regexp_replace(i.uri, '#frame=[0-9]+$', '') = n.location
             ELSE coalesce(i.study_instance_uid, n.study) = n.study AND coalesce(i.series_instance_uid, n.series) = n.series END
        OR (%(before)s AND EXISTS (
            SELECT FROM image_history h WHERE h.image_id = i.id AND (h.old ->> 'uri' = n.location
              OR (h.old ->> 'study_instance_uid' IS NOT NULL OR h.old ->> 'series_instance_uid' IS NOT NULL)
              AND coalesce(h.old ->> 'study_instance_uid', n.study) = n.study
              AND coalesce(h.old ->> 'series_instance_uid', n.series) = n.series)))));

-- :images_filter A filter, checked, as a condition on image i.
SELECT coalesce((radretrieval.filter_read(%(filter)s::jsonb)).images, 'true') AS images;

-- :export_known Which of these are images.
SELECT id FROM image WHERE id = ANY(%(ids)s);

-- :export_ids Images of an export.
SELECT i.id FROM image i WHERE (%(ids)s::bigint[] IS NULL OR i.id = ANY(%(ids)s)) AND {images} ORDER BY i.id;

-- :export_corrected Images that had another file before a correction.
SELECT DISTINCT image_id FROM image_history ORDER BY image_id;

-- :export_rows Images with all columns, codes and barcodes, and what their files were before corrections.
SELECT i.*, substring(bit_send(c.code) FROM 5) AS cnnc, b.code AS barcode,
       ARRAY(SELECT h.sha256 FROM image_history h WHERE h.image_id = i.id AND h.sha256 <> i.sha256) AS replaced
FROM image i LEFT JOIN cnnc c ON c.encoder_id = %(encoder)s AND c.image_id = i.id
LEFT JOIN barcode b ON b.geometry_id = %(geometry)s AND b.image_id = i.id
WHERE i.id = ANY(%(ids)s::bigint[]);

-- :patient_key_check What is recorded of the key that the pseudonyms are made with.
SELECT check_value, plain_issuer FROM patient_key_check;

-- :patient_key_record Record it, where nothing is.
INSERT INTO patient_key_check (check_value, plain_issuer) VALUES (%(check)s, '') ON CONFLICT DO NOTHING;

-- :patient_key_accept Record it, whatever was.
INSERT INTO patient_key_check (check_value, plain_issuer) VALUES (%(check)s, '')
ON CONFLICT (id) DO UPDATE SET check_value = excluded.check_value, recorded_at = now();

-- :patient_key_issuer Pseudonyms take the issuer; those that are there are of one.
UPDATE patient_key_check SET plain_issuer = %(issuer)s;

-- :patient_without_issuer Patients that are new with their issuer, and known without.
SELECT n.named FROM unnest(%(named)s::text[], %(plain)s::text[]) AS n (named, plain)
WHERE (n.plain = ANY(%(coming)s::text[]) OR EXISTS (SELECT FROM image i WHERE i.patient_key = n.plain))
  AND NOT EXISTS (SELECT FROM image i WHERE i.patient_key = n.named);

-- :patient_there Pseudonyms that an image has.
SELECT k.patient_key FROM unnest(%(keys)s::text[]) AS k (patient_key)
WHERE EXISTS (SELECT FROM image i WHERE i.patient_key = k.patient_key);

-- :patient_key_examples Files from which a key can be tested; not those that this transaction has written.
SELECT uri, sha256, patient_key FROM image WHERE patient_key IS NOT NULL AND format = 'dicom' AND gone_at IS NULL
  AND 'patient_key' <> ALL(labelled) AND xmin IS DISTINCT FROM pg_current_xact_id_if_assigned()::xid
ORDER BY id DESC LIMIT %(limit)s;

-- :patient_count How many patients have a pseudonym.
SELECT count(DISTINCT patient_key) AS patients FROM image;

-- :patient_keys Each pseudonym once.
SELECT patient_key FROM image WHERE patient_key IS NOT NULL
UNION SELECT old ->> 'patient_key' FROM image_history WHERE old ->> 'patient_key' IS NOT NULL;

-- :patient_keys_staging Where the new ones wait, beside the old ones.
CREATE TEMP TABLE rekeyed (old text PRIMARY KEY, new text NOT NULL) ON COMMIT DROP;

-- :patient_keys_replace Every image gets the new pseudonym of its patient.
UPDATE image i SET patient_key = r.new FROM rekeyed r WHERE i.patient_key = r.old;

-- :patient_keys_replace_old So do the ones that it had before.
UPDATE image_history h SET old = jsonb_set(h.old, '{patient_key}', to_jsonb(r.new))
FROM rekeyed r WHERE h.old ->> 'patient_key' = r.old;

-- :pull_failed Instances of a peer that it did not give when they were asked for.
SELECT uri FROM ingest_failure WHERE error = %(error)s AND starts_with(uri, %(origin)s || '/') ORDER BY uri LIMIT %(limit)s;

-- :objects Kind, name and definition of the tables, functions, views and triggers of the schema, the definitions as this
-- server writes them where the search path is pg_catalog. A trigger is named TABLE.TRIGGER; what partitions of its table lack, or
-- have otherwise, stands in `elsewhere` and belongs to its definition. So does it that everyone may execute filter_sql or
-- a function with the owner's rights, as after a restore without rights.
SELECT 'table' AS kind, c.relname::text AS name, '' AS definition, NULL AS elsewhere
FROM pg_class c WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relkind IN ('r', 'p', 'c')
UNION ALL
SELECT 'function', p.proname,
       pg_get_functiondef(p.oid) || CASE WHEN (p.prosecdef OR p.proname IN ('filter_sql', 'audit_partition'))
                                          AND has_function_privilege('public', p.oid, 'EXECUTE') THEN ' for everyone' ELSE '' END, NULL
FROM pg_proc p WHERE p.pronamespace = to_regnamespace('radretrieval') AND p.prokind IN ('f', 'p')
UNION ALL
SELECT 'view', c.relname, concat(c.reloptions, pg_get_viewdef(c.oid)), NULL
FROM pg_class c WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relkind = 'v'
UNION ALL
SELECT 'trigger', t.name, concat(t.definition, p.elsewhere), p.elsewhere
FROM (SELECT c.relname || '.' || g.tgname AS name, c.oid AS "table", g.tgname,
             pg_get_triggerdef(g.oid) || ' enabled ' || g.tgenabled::text AS definition
      FROM pg_class c JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal
      WHERE c.relnamespace = to_regnamespace('radretrieval') AND NOT c.relispartition) t
CROSS JOIN LATERAL (
    SELECT string_agg(i.inhrelid::regclass::text, ', ' ORDER BY i.inhrelid) AS elsewhere
    FROM pg_inherits i LEFT JOIN pg_trigger g ON g.tgrelid = i.inhrelid AND g.tgname = t.tgname
    WHERE i.inhparent = t."table"
      AND replace(pg_get_triggerdef(g.oid), format(' ON %s ', i.inhrelid::regclass), format(' ON %s ', t."table"::regclass))
          || ' enabled ' || g.tgenabled::text IS DISTINCT FROM t.definition) p;

-- :objects_path For one transaction: definitions are written with the schema of everything but PostgreSQL's own.
SELECT set_config('search_path', 'pg_catalog', true);

-- :objects_changed Objects that are missing, or are other than right after they were applied. A server of another major version
-- may write the same definition otherwise: there only what is missing is told.
SELECT s.kind, s.name,
       CASE WHEN o.name IS NULL THEN 'is missing'
            WHEN o.elsewhere IS NOT NULL THEN 'is missing or another one on ' || o.elsewhere
            ELSE 'was changed' END AS finding
FROM radretrieval.schema_object s LEFT JOIN (
    SELECT o.kind, o.name, string_agg(o.elsewhere, ', ') AS elsewhere,
           sha256(convert_to(string_agg(o.definition, '' ORDER BY o.definition), 'UTF8')) AS definition
    FROM ({objects}) o GROUP BY o.kind, o.name) o ON o.kind = s.kind AND o.name = s.name
WHERE o.name IS NULL OR o.elsewhere IS NOT NULL
   OR (o.definition <> s.definition AND s.server = current_setting('server_version_num')::integer / 10000)
ORDER BY s.kind, s.name;

-- :objects_digest One digest of the files that the database's objects were applied from.
SELECT encode(sha256(string_agg(source, ''::bytea ORDER BY kind COLLATE "C", name COLLATE "C")), 'hex') AS digest
FROM schema_object;

-- :audit_add Somebody did something; the last statement of a transaction.
SELECT audit_add(%(who)s, %(action)s, %(detail)s) AS id;

-- :audit_note The same, and the commit of its transaction does not wait for the disk. With the schema's name: it is also sent
-- where a pooler leaves no search_path.
WITH at_once AS (SELECT set_config('synchronous_commit', 'off', true))
SELECT radretrieval.audit_add(%(who)s, %(action)s, %(detail)s) AS id FROM at_once;

-- :audit_search The same for an answer, unless the encoder has another state by now than when the searcher read it: that
-- takes no round trip of its own before each search.
WITH at_once AS (SELECT set_config('synchronous_commit', 'off', true))
SELECT radretrieval.audit_add(%(who)s, %(action)s, %(detail)s) AS id FROM at_once
WHERE (SELECT e.state FROM ({encoder}) e) = %(state)s;

-- :audit_confirmed The same for an answer that was read from a standby, unless it is stale.
WITH at_once AS (SELECT set_config('synchronous_commit', 'off', true))
SELECT radretrieval.audit_add(%(who)s, %(action)s, %(detail)s) AS id FROM at_once WHERE ({stale}) IS NULL;

-- :stale Why an answer that was read from a standby must not be shown, as the primary sees it; NULL where nothing speaks against it:
-- the encoder is as it was read, every image of the answer is there and not withdrawn, and the standby had replayed what was
-- committed before so many seconds: it was found to have all, or has all now, or its last transaction is not older.
SELECT CASE
    WHEN (SELECT e.state FROM ({encoder}) e) IS DISTINCT FROM %(state)s THEN 'encoder'
    WHEN EXISTS (SELECT FROM unnest(%(images)s::bigint[]) AS a (id)
                 WHERE NOT EXISTS (SELECT FROM radretrieval.image i WHERE i.id = a.id AND i.hidden_at IS NULL)) THEN 'image'
    WHEN NOT %(followed)s::bool AND pg_current_wal_flush_lsn() > %(replayed)s::pg_lsn
         AND clock_timestamp() > to_timestamp(%(replayed_at)s::float8) + make_interval(secs => %(seconds)s::float8) THEN 'lag' END AS stale;

-- :reader_position How far this standby has replayed what its primary wrote; of a server that is none, that.
SELECT pg_is_in_recovery() AS standby, coalesce(pg_last_wal_replay_lsn(), '0/0')::text AS replayed,
       coalesce(extract(epoch FROM pg_last_xact_replay_timestamp()), 0)::float8 AS replayed_at;

-- :wal_flushed How far this primary has written its log for good; a standby gets no more.
SELECT pg_current_wal_flush_lsn()::text AS flushed;

-- :reader_lag How far a standby is behind: nothing once it has what the primary had written before it was asked.
SELECT CASE WHEN %(replayed)s::pg_lsn >= %(flushed)s::pg_lsn THEN 0
            WHEN %(replayed_at)s::float8 > 0 THEN extract(epoch FROM clock_timestamp())::float8 - %(replayed_at)s::float8 END AS seconds,
       greatest(pg_wal_lsn_diff(%(flushed)s::pg_lsn, %(replayed)s::pg_lsn), 0)::bigint AS bytes;

-- :reader_identity Which server, cluster and database this is, and on which timeline: after a failover a standby that still follows the
-- old primary may have what the new one never had.
SELECT pg_is_in_recovery() AS standby, pg_postmaster_start_time() AS started,
       (SELECT s.system_identifier FROM pg_control_system() s) AS cluster,
       (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())::bigint AS database,
       CASE WHEN pg_is_in_recovery()
            THEN (SELECT greatest(c.timeline_id, r.min_recovery_end_timeline) FROM pg_control_checkpoint() c, pg_control_recovery() r)
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END AS timeline;

-- :audit_holders Who has added a row, and not ended the transaction: nobody else adds one.
SELECT DISTINCT l.pid FROM pg_locks l
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted AND l.pid <> pg_backend_pid()
  AND l.relation = 'radretrieval.audit_head'::regclass AND l.mode NOT IN ('AccessShareLock', 'RowShareLock');

-- :audit_rows Rows of the audit by number, those that pass.
SELECT id, at, who, db_role, action, detail, hash FROM audit
WHERE id > %(after)s AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(who)s::text IS NULL OR who = %(who)s) AND (%(action)s::text IS NULL OR action = %(action)s)
ORDER BY id LIMIT %(limit)s;

-- :audit_chain Whether each row follows from the one before, the first from nothing or from the last one that was pruned.
WITH chained AS (
    SELECT a.*, lag(a.id) OVER w AS before_id, lag(a.hash) OVER w AS before FROM audit a WINDOW w AS (ORDER BY a.id, a.at)
), judged AS (
    SELECT c.id, c.at, CASE
        WHEN c.hash = audit_hash(coalesce(c.before, ''), c.id, c.at, c.who, c.db_role, c.action, c.detail) THEN true
        WHEN c.before_id IS NOT NULL THEN false
        ELSE EXISTS (
            SELECT FROM audit p WHERE p.action = 'audit prune' AND p.detail ->> 'last_hash' ~ '^[0-9a-f]{64}$' AND c.hash = audit_hash(
                decode(p.detail ->> 'last_hash', 'hex'), c.id, c.at, c.who, c.db_role, c.action, c.detail))
        END AS follows
    FROM chained c
)
SELECT count(*) AS rows, min(id) AS first_id, max(id) AS last_id, min(id) FILTER (WHERE NOT follows) AS wrong_id,
       (array_agg(at ORDER BY id, at) FILTER (WHERE NOT follows))[1] AS wrong_at
FROM judged;

-- :audit_until A row and the one before it, or the last two.
SELECT id, at, who, action, hash FROM audit WHERE %(id)s::bigint IS NULL OR (id, at) <= (%(id)s, %(at)s::timestamptz)
ORDER BY id DESC, at DESC LIMIT 2;

-- :audit_next The row after one.
SELECT id, at FROM audit WHERE (id, at) > (%(id)s, %(at)s) ORDER BY id, at LIMIT 1;

-- :audit_head The end of the chain.
SELECT last_id, at, hash FROM audit_head;

-- :audit_head_lock Nobody adds a row until this transaction ends.
SELECT FROM audit_head FOR UPDATE;

-- :audit_months The partitions of the audit that have rows, with the numbers of these.
SELECT p.tableoid::regclass::text AS name, p.tableoid AS oid, count(*) AS rows, min(p.id) AS first_id, max(p.id) AS last_id,
       (date_trunc('month', min(p.at), 'UTC') AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC' AS ended
FROM audit p GROUP BY p.tableoid ORDER BY ended;

-- :audit_hash_of The hash of a row.
SELECT hash FROM audit WHERE id = %(id)s;

-- :audit_exported How far a target has it.
SELECT last_id FROM audit_export WHERE target = %(target)s;

-- :audit_exported_to A target has it as far as this.
INSERT INTO audit_export AS e (target, last_id) VALUES (%(target)s, %(id)s)
ON CONFLICT (target) DO UPDATE SET last_id = greatest(e.last_id, excluded.last_id), at = now();

-- :facet_groups Images that pass a filter and are not withdrawn, by what they have in the columns that people filter by.
SELECT coalesce(i.modality, '') AS modality, coalesce(i.body_part, '') AS body_part,
       coalesce(i.view_position, '') AS view_position, coalesce(i.laterality, '') AS laterality,
       coalesce(i.manufacturer, '') AS manufacturer, coalesce(date_part('year', i.study_date)::int::text, '') AS study_date,
       count(*) AS images
FROM image i WHERE {images} AND i.hidden_at IS NULL GROUP BY 1, 2, 3, 4, 5, date_part('year', i.study_date);

-- :origins Images by the peer that they came from (NULL: files that were found), in one scan.
SELECT origin, count(*) AS images, count(*) FILTER (WHERE hidden_at IS NOT NULL) AS hidden,
       count(*) FILTER (WHERE gone_at IS NOT NULL) AS gone, count(*) FILTER (WHERE same_uid) AS same_uid,
       count(*) FILTER (WHERE flat) AS flat, count(*) FILTER (WHERE ingested_at > now() - interval '1 day') AS last_day,
       max(ingested_at) AS last_at
FROM image GROUP BY origin ORDER BY images DESC, origin;

-- :arrival_origins Files that came and are no images yet, by peer.
SELECT origin, count(*) AS files, min(arrived_at) AS oldest FROM arrival GROUP BY origin ORDER BY origin;

-- :pulls How far pulls have come.
SELECT url, query, study_date, change, pulled_at, reconciled_at FROM pull ORDER BY pulled_at DESC, url, query LIMIT %(limit)s;

-- :database_size What the database takes on its server's disk.
SELECT pg_database_size(current_database()) AS bytes;

-- :pending_oldest Since when the first image waits for a code of this encoder that was not tried in vain; where as many have a code
-- as there are images, none is looked for.
SELECT i.ingested_at FROM image i
WHERE (SELECT count(*) FROM image) - (SELECT count(*) FROM image WHERE hidden_at IS NOT NULL) > (SELECT count(*) FROM cnnc WHERE encoder_id = %(encoder)s)
  AND i.hidden_at IS NULL AND NOT EXISTS (SELECT FROM cnnc c WHERE c.encoder_id = %(encoder)s AND c.image_id = i.id)
  AND NOT EXISTS (SELECT FROM coding_failure f WHERE f.encoder_id = %(encoder)s AND f.image_id = i.id)
ORDER BY i.id LIMIT 1;

-- :failures What failed, by file and by image of the active encoder, with what a page may show of why: in `reason` stands nothing that
-- may be of a header, a path or a patient - what follows a colon, in brackets or quotes, numbers.
SELECT 'ingest' AS stage, left(encode(sha256, 'hex'), 12) AS name, error, {reason} AS reason, attempts, last_at,
       CASE WHEN uri ~ '^https?:' THEN regexp_replace(uri, '/studies/.*$', '') END AS origin
FROM ingest_failure
UNION ALL
SELECT 'code', 'id:' || image_id, error, {reason}, attempts, last_at, NULL FROM coding_failure f
WHERE encoder_id = (SELECT e.id FROM encoder e WHERE e.active)
  AND NOT EXISTS (SELECT FROM image i WHERE i.id = f.image_id AND i.hidden_at IS NOT NULL);

-- :failure_reason A message without what it says of its file; the status that a server `answers` with stays. (A lookbehind would
-- take twice the time.)
regexp_replace(regexp_replace(regexp_replace(message, ':[^;]*| ?\([^)]*\)|/[^;]*', '', 'g'),
                              'b?''[^'']*''|"[^"]*"', '…', 'g'), '([^r]s |[^s] |[^0-9 ])[0-9][0-9,.×]*', '\1N', 'g')

-- :failure_groups Failures of one kind together.
SELECT stage, error, reason, origin, count(*) AS files, max(attempts) AS attempts, max(last_at) AS last_at FROM ({failures}) f
GROUP BY stage, error, reason, origin ORDER BY files DESC, stage, error, reason, origin LIMIT %(limit)s;

-- :failure_page Some of the failures, the last first.
SELECT stage, name, error, reason, attempts, last_at FROM ({failures}) f
WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY last_at DESC, stage, name LIMIT %(limit)s OFFSET %(offset)s;

-- :programs Who is connected to the archive's database, by program and host; of other roles' sessions state and
-- transaction are shown to who may see them.
SELECT coalesce(nullif(application_name, ''), '(no name)') AS program, host(client_addr) AS host, count(*) AS sessions,
       count(*) FILTER (WHERE state = 'active') AS active, min(backend_start) AS since, min(xact_start) AS oldest_transaction
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
GROUP BY 1, 2 ORDER BY 1, 2;

-- :classes Each IRMA code of the archive (NULL: no label), and how many of its images have a code of this encoder.
SELECT i.irma_code, count(*) AS images, count(c.image_id) AS coded, count(*) FILTER (WHERE i.withdrawn) AS withdrawn
FROM image i LEFT JOIN cnnc c ON c.encoder_id = %(encoder)s AND c.image_id = i.id
WHERE i.hidden_at IS NULL GROUP BY i.irma_code ORDER BY images DESC, i.irma_code;

-- :class_images Images of one class, or of none, by id, from a place on.
SELECT i.id, i.modality, i.body_part, i.view_position, i.laterality, i.study_date, i.split, i.withdrawn,
       EXISTS (SELECT FROM cnnc c WHERE c.encoder_id = %(encoder)s AND c.image_id = i.id) AS coded
FROM image i WHERE {condition} AND i.id > %(after)s AND i.hidden_at IS NULL ORDER BY i.id LIMIT %(limit)s;

-- :map_state What the map of an encoder depends on: when it was made, how many codes it has, and the last; and which images are
-- withdrawn: how many, and when that was last done.
SELECT count(*) AS codes, coalesce(max(image_id), 0) AS last,
       (SELECT concat_ws(' ', count(*), extract(epoch FROM max(hidden_at))) FROM image WHERE hidden_at IS NOT NULL) AS hidden,
       (SELECT extract(epoch FROM e.created_at)::text FROM encoder e WHERE e.id = %(encoder)s) AS encoder
FROM cnnc WHERE encoder_id = %(encoder)s;

-- :map_sample Codes for the map, of the same images at every call: those whose numbers have the smallest hashes.
SELECT image_id, substring(bit_send(code) FROM 5) AS code FROM cnnc WHERE encoder_id = %(encoder)s
ORDER BY hashint8(image_id), image_id LIMIT %(most)s;

-- :map_agreement Of these images that have neighbours (table neighbour): how many, by class, and the mean share of their neighbours
-- that have their class.
SELECT n.irma_code, count(*) AS images, avg(n.share) AS agreement
FROM (SELECT i.irma_code, avg((o.irma_code IS NOT DISTINCT FROM i.irma_code)::int)::float8 AS share
      FROM neighbour n JOIN image i ON i.id = n.image_id JOIN image o ON o.id = n.neighbour_id
      WHERE n.encoder_id = %(encoder)s AND n.image_id = ANY(%(ids)s) AND n.rank <= %(k)s AND i.irma_code IS NOT NULL
      GROUP BY n.image_id, i.irma_code) n
GROUP BY n.irma_code;

-- :map_facts What the points of the map are coloured by.
SELECT id, irma_code, modality, body_part, view_position FROM image WHERE id = ANY(%(ids)s) AND hidden_at IS NULL ORDER BY id;

-- :feedback_give An opinion in place of the user's earlier one on the same hit of the same query.
INSERT INTO feedback AS f (who, query_image_id, query_sha256, hit_image_id, relevant, encoder_id, rank, cnnc_distance,
                           rbc_distance)
SELECT %(who)s, %(query_image_id)s, %(query_sha256)s, %(hit_image_id)s, %(relevant)s, %(encoder_id)s, %(rank)s,
       %(cnnc_distance)s, %(rbc_distance)s
WHERE NOT EXISTS (SELECT FROM image i WHERE i.id IN (%(query_image_id)s, %(hit_image_id)s) AND i.hidden_at IS NOT NULL)
ON CONFLICT (query_image_id, query_sha256, hit_image_id, who) DO UPDATE SET at = now(), relevant = excluded.relevant,
    encoder_id = excluded.encoder_id, rank = excluded.rank, cnnc_distance = excluded.cnnc_distance,
    rbc_distance = excluded.rbc_distance;

-- :feedback_off No opinion of the user on this hit of this query.
DELETE FROM feedback WHERE who = %(who)s AND hit_image_id = %(hit_image_id)s
    AND query_image_id IS NOT DISTINCT FROM %(query_image_id)s AND query_sha256 IS NOT DISTINCT FROM %(query_sha256)s;

-- :feedback_given Opinions with the classes of the images: of one user, on one query, after one. None on an image that is withdrawn.
SELECT f.id, f.at, f.who, f.query_image_id, encode(f.query_sha256, 'hex') AS query_sha256,
       coalesce(q.irma_code, u.irma_code) AS query_irma_code, f.hit_image_id, h.irma_code AS hit_irma_code, f.relevant,
       f.encoder_id, f.rank, f.cnnc_distance, f.rbc_distance
FROM feedback f JOIN image h ON h.id = f.hit_image_id
LEFT JOIN image q ON q.id = f.query_image_id
LEFT JOIN image u ON u.sha256 = f.query_sha256 AND u.frame = 1
WHERE h.hidden_at IS NULL AND q.hidden_at IS NULL AND u.hidden_at IS NULL AND f.id > %(after)s AND (%(who)s::text IS NULL OR f.who = %(who)s)
  AND (%(image)s::bigint IS NULL OR f.query_image_id = %(image)s)
  AND (%(sha256)s::bytea IS NULL OR f.query_sha256 = %(sha256)s)
ORDER BY f.id LIMIT %(limit)s;

-- :label_report_add What a user says of an image's label, in place of the user's earlier report on it.
INSERT INTO label_report AS r (who, image_id, expected, remark, labels)
SELECT %(who)s, i.id, %(expected)s, %(remark)s, to_jsonb(l)
FROM image i, LATERAL (SELECT i.irma_code, i.body_part, i.view_position, i.laterality) l
WHERE i.id = %(image_id)s AND i.hidden_at IS NULL
ON CONFLICT (image_id, who) DO UPDATE SET at = now(), expected = excluded.expected, remark = excluded.remark,
    labels = excluded.labels
RETURNING r.id;

-- :label_report_off No report of the user on this image.
DELETE FROM label_report WHERE who = %(who)s AND image_id = %(image_id)s;

-- :label_reports_dismiss Reports that are no longer listed.
DELETE FROM label_report WHERE id = ANY(%(ids)s) RETURNING id, who, image_id, expected, remark;

-- :label_reports Reports on images that are not withdrawn and whose labels are as they were then, those of one image together, the first reported one first.
SELECT r.id, r.at, r.who, r.image_id, r.expected, r.remark, i.irma_code, i.body_part, i.view_position, i.laterality, i.uri,
       i.sha256
FROM label_report r JOIN image i ON i.id = r.image_id,
     LATERAL (SELECT i.irma_code, i.body_part, i.view_position, i.laterality) l
WHERE r.labels = to_jsonb(l) AND i.hidden_at IS NULL
ORDER BY min(r.id) OVER (PARTITION BY r.image_id), r.id;

-- :backup_settings For one transaction: every value as text is the same on every server, hidden rows are an error, and nothing ends
-- it while the dump goes on.
SELECT set_config(v.name, v.value, true)
FROM (VALUES ('TimeZone', 'UTC'), ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'), ('extra_float_digits', '1'),
             ('bytea_output', 'hex'), ('row_security', 'off'), ('statement_timeout', '0'),
             ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0')) AS v (name, value)
JOIN pg_settings s ON lower(s.name) = lower(v.name);

-- :backup_snapshot What this transaction sees, for others to see too.
SELECT pg_export_snapshot() AS snapshot;

-- :backup_tables Every table of the schema that has rows of its own.
SELECT c.relname AS name, format('%I.%I', 'radretrieval', c.relname) AS quoted FROM pg_class c
WHERE c.relnamespace = 'radretrieval'::regnamespace AND c.relkind = 'r' AND c.relpersistence <> 't'
ORDER BY c.relname COLLATE "C";

-- :backup_digest Rows of a table, and a digest of them in any order: the sum of 60 bits of the SHA-256 of each, as text.
SELECT count(*) AS rows,
       coalesce(sum(('x' || left(encode(sha256(convert_to((t.*)::text, 'UTF8')), 'hex'), 15))::bit(60)::bigint), 0)::text
           AS digest
FROM {table} t;

-- :backup_archive Which archive this is: of which cluster and database.
SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), d.oid) AS archive
FROM pg_database d WHERE d.datname = current_database();

-- :backup_encoders The encoders without their weights.
SELECT id, active, profile ->> 'name' AS profile, encode(weights_sha256, 'hex') AS weights_sha256 FROM encoder ORDER BY id;

-- :backup_files What the store has to have: contents, and frames of reduced pictures; of failures only where it has them.
SELECT sha256, 0 AS frame, bool_or(needed) AS needed FROM (
    SELECT sha256, true AS needed FROM image WHERE kept = 'copy' OR starts_with(uri, 'store:')
    UNION ALL SELECT sha256, true FROM arrival
    UNION ALL SELECT sha256, false FROM ingest_failure WHERE sha256 IS NOT NULL) f GROUP BY sha256
UNION ALL SELECT sha256, frame, true FROM image WHERE kept = 'reduced'
ORDER BY sha256, frame;

-- :backup_elsewhere Images whose files are where they were found, and not in the store.
SELECT count(*) AS images FROM image WHERE kept IS DISTINCT FROM 'copy' AND NOT starts_with(uri, 'store:');

-- :restore_place What the schema has already, but for pgvector.
SELECT to_regnamespace('radretrieval') IS NOT NULL AS schema, to_regclass('radretrieval.image') IS NOT NULL AS archive,
       (SELECT count(*) FROM pg_class c WHERE c.relnamespace = to_regnamespace('radretrieval')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                AND d.deptype = 'e')) AS relations;

-- :restore_images How many images the archive there has.
SELECT count(*) AS images FROM radretrieval.image;

-- :restore_schema Where the tables will be.
CREATE SCHEMA radretrieval;

-- :restore_services Services are of another archive.
DELETE FROM heartbeat;

-- :restore_analyze Statistics, and marks of what every search can see.
VACUUM (ANALYZE) {tables};

-- :restore_undone What was restored for a test goes again.
DROP SCHEMA radretrieval CASCADE;

-- :heartbeat_beat A service is alive.
UPDATE heartbeat SET beat_at = clock_timestamp() WHERE id = %(id)s RETURNING id;

-- :heartbeat_add A service has started; what was not heard of for a day is forgotten.
WITH old AS (DELETE FROM heartbeat WHERE beat_at < clock_timestamp() - interval '1 day')
INSERT INTO heartbeat (program, host, pid, version) VALUES (%(program)s, %(host)s, %(pid)s, %(version)s) RETURNING id;

-- :heartbeat_end A service has ended in order.
DELETE FROM heartbeat WHERE id = %(id)s;

-- :heartbeats Services, by program and host; `replaced`: the same program was started later than it was last heard of, on its host.
SELECT b.program, b.host, b.pid, b.version, b.started_at, b.beat_at,
       extract(epoch FROM clock_timestamp() - b.beat_at)::float8 AS seconds,
       EXISTS (SELECT FROM heartbeat l WHERE l.program = b.program AND l.host = b.host AND l.id > b.id AND l.started_at > b.beat_at) AS replaced
FROM heartbeat b ORDER BY b.program, b.host, b.id;

-- :code_newest The newest image that has a code of this encoder.
SELECT max(image_id) AS image_id FROM cnnc WHERE encoder_id = %(encoder)s;

-- :role_facts What the role of this session is, beside its rights: attributes and memberships that no service needs, and of which
-- roles of services it is a member. `archive`: whether there is one that it can be compared with.
SELECT r.rolname AS role, quote_ident(r.rolname) AS role_quoted, current_database() AS database,
       quote_ident(current_database()) AS database_quoted, r.rolsuper AS superuser,
       EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'radretrieval' AND pg_has_role(r.oid, n.nspowner, 'USAGE')) AS owns,
       (SELECT quote_ident(pg_get_userbyid(n.nspowner)) FROM pg_namespace n WHERE n.nspname = 'radretrieval') AS owner,
       (SELECT count(*) > 0 FROM pg_class c WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relname = 'schema_object')
           AS archive,
       ARRAY(SELECT a.name FROM (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
                                        ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) a (name, has)
             WHERE a.has) AS attributes,
       ARRAY(SELECT s.rolname::text FROM pg_roles s WHERE s.rolname = ANY (%(roles)s)) AS exists,
       ARRAY(SELECT s.rolname::text FROM pg_roles s WHERE s.rolname = ANY (%(roles)s) AND NOT r.rolsuper
             AND pg_has_role(r.oid, s.oid, 'USAGE')) AS member_of,
       ARRAY(SELECT DISTINCT ARRAY[quote_ident(g.rolname), quote_ident(o.rolname)]
             FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles o ON o.oid = m.member
             WHERE NOT r.rolsuper AND pg_has_role(r.oid, m.member, 'MEMBER')
               AND (g.rolname = ANY (%(roles)s || ARRAY[%(owner)s]) OR g.oid = (
                        SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'radretrieval')
                    OR g.rolsuper OR g.rolname LIKE 'pg\_%%')) AS memberships
FROM pg_roles r WHERE r.rolname = current_user;

-- :role_rights What the role of this session, and PUBLIC, was granted on the archive's objects, and which of them it owns, by itself or
-- by a role that it is a member of; of the database and the schema public the rights to create; of PostgreSQL's own functions, tables
-- and settings what was granted to it beside what everyone has. `inherited`: without SET ROLE. `grantable`: it may pass it on.
WITH a AS (
    SELECT 'table' AS kind, c.relname::text AS name, '' AS "column", x.privilege_type AS privilege, x.grantee, c.relowner AS owner,
           x.is_grantable AS grantable
    FROM pg_class c, aclexplode(c.relacl) x
    WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT 'table', c.relname, t.attname, x.privilege_type, x.grantee, c.relowner, x.is_grantable
    FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) x
    WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relkind IN ('r', 'p', 'v') AND NOT t.attisdropped
    UNION ALL
    SELECT 'sequence', c.relname, '', x.privilege_type, x.grantee, c.relowner, x.is_grantable FROM pg_class c, aclexplode(c.relacl) x
    WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relkind = 'S'
    UNION ALL
    SELECT 'function', p.proname, '', x.privilege_type, x.grantee, p.proowner, x.is_grantable
    FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
    WHERE p.pronamespace = to_regnamespace('radretrieval')
    UNION ALL
    SELECT CASE c.relkind WHEN 'f' THEN 'function' ELSE 'table' END, c.name, '', 'OWNER', c.owner, n.nspowner, false
    FROM (SELECT 'f' AS relkind, p.proname AS name, p.proowner AS owner FROM pg_proc p
          WHERE p.pronamespace = to_regnamespace('radretrieval')
          UNION ALL
          SELECT 't', c.relname, c.relowner FROM pg_class c
          WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relkind IN ('r', 'p', 'v')) c
    JOIN pg_namespace n ON n.nspname = 'radretrieval'
    UNION ALL
    SELECT 'schema', n.nspname, '', x.privilege_type, x.grantee, n.nspowner, x.is_grantable FROM pg_namespace n, aclexplode(n.nspacl) x
    WHERE n.nspname IN ('radretrieval', 'public')
    UNION ALL
    SELECT 'database', '', '', x.privilege_type, x.grantee, d.datdba, x.is_grantable
    FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x WHERE d.datname = current_database()
    UNION ALL
    SELECT 'postgresql', 'FUNCTION ' || p.oid::regprocedure, '', x.privilege_type, x.grantee, p.proowner, x.is_grantable
    FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
    WHERE p.pronamespace = 'pg_catalog'::regnamespace
      AND (x.grantee <> 0 OR p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea'))
    UNION ALL
    SELECT 'postgresql', 'pg_catalog.' || quote_ident(c.relname), '', x.privilege_type, x.grantee, c.relowner, x.is_grantable
    FROM pg_class c, aclexplode(c.relacl) x WHERE c.relnamespace = 'pg_catalog'::regnamespace AND x.grantee <> 0
    UNION ALL
    SELECT 'postgresql', 'PARAMETER ' || g.parname, '', x.privilege_type, x.grantee, 10, x.is_grantable
    FROM pg_parameter_acl g, aclexplode(g.paracl) x)
SELECT a.kind, a.name, a."column", a.privilege, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS grantee,
       a.grantee = 0 OR pg_has_role(current_user, a.grantee, 'USAGE') AS inherited, a.grantable
FROM a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE a.grantee <> a.owner
  AND CASE WHEN a.grantee = 0 THEN true WHEN r.oid IS NULL THEN false ELSE pg_has_role(current_user, a.grantee, 'MEMBER') END
ORDER BY 1, 2, 3, 4, 5;

-- :role_tables The tables and views of the schema.
SELECT c.relname::text AS name FROM pg_class c
WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relkind IN ('r', 'p', 'v') ORDER BY 1;

-- :tombstone_any Whether anything was forgotten.
SELECT EXISTS (SELECT FROM tombstone) AS there;

-- :tombstone_find Which of these were forgotten, and when.
SELECT t.kind, t.digest, t.at FROM unnest(%(kinds)s::text[], %(digests)s::bytea[]) AS n (kind, digest)
JOIN tombstone t ON t.kind = n.kind AND t.digest = n.digest;

-- :tombstone_add These are forgotten; what was before stays as old as it is.
INSERT INTO tombstone AS t (kind, digest, at, content)
SELECT DISTINCT ON (n.kind, n.digest) n.kind, n.digest, n.at, n.content
FROM unnest(%(kinds)s::text[], %(digests)s::bytea[], %(at)s::timestamptz[], %(contents)s::bytea[])
    AS n (kind, digest, at, content)
ORDER BY n.kind, n.digest
ON CONFLICT (kind, digest) DO UPDATE SET content = excluded.content
    WHERE excluded.content IS NOT NULL AND excluded.content IS DISTINCT FROM t.content;

-- :tombstone_unfinished Files of which the store may still have something.
SELECT content FROM tombstone WHERE content > %(after)s ORDER BY content LIMIT %(limit)s;

-- :tombstone_finished The store has nothing of these files any more.
UPDATE tombstone SET content = NULL WHERE content = ANY(%(contents)s);

-- :tombstone_remove These, and what was forgotten together with them, may be taken again.
DELETE FROM tombstone t USING tombstone o, unnest(%(kinds)s::text[], %(digests)s::bytea[]) AS n (kind, digest)
WHERE o.kind = n.kind AND o.digest = n.digest AND t.at = o.at;

-- :tombstone_digests Each digest once.
SELECT DISTINCT digest FROM tombstone;

-- :tombstone_staging Where the new ones wait, beside the old ones.
CREATE TEMP TABLE rekeyed_tombstone (old bytea PRIMARY KEY, new bytea NOT NULL) ON COMMIT DROP;

-- :tombstone_replace Every tombstone follows the key.
UPDATE tombstone t SET digest = r.new FROM rekeyed_tombstone r WHERE t.digest = r.old;

-- :forget_of_patient Condition on image i.
i.patient_key = ANY(%(patients)s::text[])

-- :forget_of_study Condition on image i.
i.study_instance_uid = %(study)s

-- :forget_of_image Condition on image i.
i.id = %(image)s

-- :forget_of_age Condition on image i: by the date of the study, else by that of ingestion.
i.id IN (SELECT o.id FROM image o WHERE (%(origin)s::text IS NULL OR o.origin = %(origin)s)
           AND coalesce(o.study_date, o.ingested_at::date) < current_date - %(age)s::interval
         ORDER BY o.id LIMIT %(limit)s)

-- :forget_images These images, and all others of their files, with what their files were before corrections.
SELECT f.id, f.sha256, f.sop_instance_uid, f.study_instance_uid,
       f.kept IS NOT NULL OR starts_with(f.uri, 'store:') AS stored,
       ARRAY(SELECT h.sha256 FROM image_history h WHERE h.image_id = f.id) AS replaced
FROM image f WHERE f.sha256 IN (SELECT i.sha256 FROM image i WHERE {condition}) ORDER BY f.id;

-- :forget_arrivals Files that came and are no images yet: of these contents, or with these SOP Instance UIDs.
SELECT id, sha256, sop_instance_uid FROM arrival WHERE sha256 = ANY(%(contents)s) OR sop_instance_uid = ANY(%(uids)s);

-- :forget_failures Failures of these files, of these contents, and those that name one of these UIDs.
SELECT uri, sha256 FROM ingest_failure f
WHERE uri = ANY(%(uris)s) OR sha256 = ANY(%(contents)s)
   OR EXISTS (SELECT FROM unnest(%(uids)s::text[]) u
              WHERE CASE WHEN strpos(f.uri || ' ' || f.message, u) > 0 THEN
                  f.uri || ' ' || f.message ~ ('(^|[^0-9.])' || replace(u, '.', '\.') || '($|[^0-9.]|[.]($|[^0-9]))') END);

-- :forget_feedback How many opinions are on these images, or on files with these contents.
SELECT count(*) AS rows FROM feedback WHERE query_image_id = ANY(%(ids)s) OR hit_image_id = ANY(%(ids)s)
    OR query_sha256 = ANY(%(contents)s);

-- :forget_shared_uids Which of these SOP Instance UIDs other images have too.
SELECT DISTINCT sop_instance_uid AS uid FROM image WHERE sop_instance_uid = ANY(%(uids)s) AND NOT id = ANY(%(ids)s);

-- :forget_lock Nobody encodes, labels or judges these images until this transaction ends.
SELECT FROM image WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE;

-- :forget_codes_off All at once: the triggers of the exact indexes run once.
DELETE FROM cnnc WHERE image_id = ANY(%(ids)s);

-- :forget_images_off What refers to them goes with them.
DELETE FROM image WHERE id = ANY(%(ids)s);

-- :forget_feedback_off Opinions on queries that were no images of the archive.
DELETE FROM feedback WHERE query_sha256 = ANY(%(contents)s);

-- :forget_arrivals_off Those that an intake has locked are refused by it: it waits for the lock of ingestion.
DELETE FROM arrival WHERE id IN (SELECT id FROM arrival WHERE id = ANY(%(ids)s) FOR UPDATE SKIP LOCKED);

-- :forget_history_off Images of others that were once of this patient, or in this study, do not say so any more.
UPDATE image_history SET old = old - %(column)s::text WHERE old ->> %(column)s::text = ANY(%(values)s::text[]);

-- :forget_pulls What pulls asked for.
SELECT url, query FROM pull WHERE query <> '';

-- :forget_pull_off The next such pull begins anew.
DELETE FROM pull WHERE url = %(url)s AND query = %(query)s;

-- :failed_files Files that were not taken.
SELECT uri, sha256 FROM ingest_failure WHERE uri !~ '^https?:' OR sha256 IS NOT NULL ORDER BY uri;

-- :withdraw_neighbours_lock Nobody fills neighbours, as a statement that has begun may of an image that it saw, until this
-- transaction ends; before any image is locked, as fill_neighbours does it.
LOCK TABLE neighbour IN SHARE UPDATE EXCLUSIVE MODE;

-- :withdraw_images These images, and all others of their files: locked, so that nobody encodes, labels or judges them until this
-- transaction ends.
SELECT f.id, f.study_instance_uid AS study, f.hidden_at IS NOT NULL AS hidden FROM image f
WHERE f.sha256 IN (SELECT i.sha256 FROM image i WHERE {condition}) ORDER BY f.id {lock};

-- :withdraw_codes How many codes these images have, and how many that are kept apart.
SELECT (SELECT count(*) FROM cnnc WHERE image_id = ANY(%(ids)s)) AS shown,
       (SELECT count(*) FROM cnnc_hidden WHERE image_id = ANY(%(ids)s)) AS hidden;

-- :withdraw_hide Their codes are kept where no search reads. One statement, which locks cnnc before any row of encoder: so does
-- the deletion of an encoder.
WITH moved AS (DELETE FROM cnnc WHERE image_id = ANY(%(ids)s) RETURNING encoder_id, image_id, code)
INSERT INTO cnnc_hidden (encoder_id, image_id, code) SELECT encoder_id, image_id, code FROM moved ON CONFLICT DO NOTHING;

-- :withdraw_show They are codes again, as they were.
WITH moved AS (DELETE FROM cnnc_hidden WHERE image_id = ANY(%(ids)s) RETURNING encoder_id, image_id, code)
INSERT INTO cnnc (encoder_id, image_id, code) SELECT encoder_id, image_id, code FROM moved ON CONFLICT DO NOTHING;

-- :withdraw_mark Since when they are withdrawn; NULL: they are not.
UPDATE image SET hidden_at = CASE WHEN %(hide)s THEN clock_timestamp() END
WHERE id = ANY(%(ids)s) AND (hidden_at IS NULL) = %(hide)s;

-- :withdraw_same_pixels Images that are found and have the pixels of one of these.
SELECT DISTINCT o.id FROM image i JOIN image o ON o.pixels_sha256 = i.pixels_sha256
WHERE i.id = ANY(%(ids)s) AND o.hidden_at IS NULL AND NOT o.id = ANY(%(ids)s) ORDER BY o.id LIMIT 100;

-- :withdraw_neighbours_off Nothing was found for them, or with them.
DELETE FROM neighbour WHERE image_id = ANY(%(ids)s) OR neighbour_id = ANY(%(ids)s);
