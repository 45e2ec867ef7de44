-- What keeps an exact index true: triggers on cnnc and image. No per cent sign and no colon before a word stands here.
-- A live index is kept by the writing transaction itself; for one that is being built the ids are noted (exact_touched)
-- and its builder looks at them again before it goes live.

-- The statement that puts rows into an index, widens the bounds of their anchors and notes which facets a cell has.
-- `source` gives image_id, code and hint; the anchor of a row is the one that its hint names, else the nearest. Its
-- distance is always measured here: any anchor will do, as long as the distance is the true one.
CREATE OR REPLACE FUNCTION radretrieval.exact_put_statement(index_id integer, source text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    SELECT replace(replace($$
        WITH fresh AS MATERIALIZED ({source}),
        -- in two steps, for the planner takes a join on so many columns for one row, and would begin with it
        labelled AS MATERIALIZED (
            SELECT f.image_id, f.code, f.hint, i.format, i.photometric, coalesce(i.modality, '') AS modality,
                   coalesce(i.body_part, '') AS body_part, coalesce(i.view_position, '') AS view_position,
                   coalesce(i.laterality, '') AS laterality, coalesce(i.irma_code, '') AS irma_code,
                   coalesce(i.split, '') AS split, i.withdrawn
            FROM fresh f JOIN image i ON i.id = f.image_id),
        known AS MATERIALIZED (
            SELECT l.image_id, l.code, l.hint, t.id AS facet_id
            FROM labelled l JOIN facet t
            USING (format, photometric, modality, body_part, view_position, laterality, irma_code, split, withdrawn)),
        placed AS (
            SELECT k.image_id, k.code, k.facet_id, a.anchor, (a.code <~> k.code)::int AS distance
            FROM known k JOIN exact_anchor a ON a.index_id = {index} AND a.anchor = k.hint
            UNION ALL
            SELECT k.image_id, k.code, k.facet_id, a.anchor, a.distance
            FROM known k CROSS JOIN LATERAL (
                SELECT e.anchor, (e.code <~> k.code)::int AS distance FROM exact_anchor e WHERE e.index_id = {index}
                ORDER BY distance, e.anchor LIMIT 1) a
            WHERE k.hint IS NULL),
        put AS (
            INSERT INTO exact_{index} (key, facet_id, image_id, code)
            SELECT p.anchor * 1024 + p.distance, p.facet_id, p.image_id, p.code FROM placed p ORDER BY 1
            RETURNING key, facet_id),
        cell AS (
            INSERT INTO exact_cell (index_id, facet_id, anchor, codes)
            SELECT {index}, p.facet_id, p.key >> 10, count(*) FROM put p
            WHERE NOT EXISTS (SELECT FROM exact_cell c
                              WHERE c.index_id = {index} AND c.facet_id = p.facet_id AND c.anchor = p.key >> 10)
            GROUP BY 2, 3 ORDER BY 2, 3
            ON CONFLICT DO NOTHING),
        reach AS (
            SELECT p.key >> 10 AS anchor, min(p.key & 1023) AS nearest, max(p.key & 1023) AS farthest FROM put p GROUP BY 1)
        SELECT (SELECT count(*) FROM fresh) - (SELECT count(*) FROM put) AS missing,
               (SELECT jsonb_agg(r) FROM reach r JOIN exact_anchor a ON a.index_id = {index} AND a.anchor = r.anchor
                WHERE r.nearest < a.nearest OR r.farthest > a.farthest) AS wider
        $$, '{index}', index_id::text), '{source}', source)
$function$;

COMMENT ON FUNCTION radretrieval.exact_put_statement(integer, text) IS
    'The SQL that puts codes into an exact index, for its triggers and for index build.';

-- What remains after that statement, in the same transaction as the rows.
CREATE OR REPLACE FUNCTION radretrieval.exact_widen(index_id integer, wider jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    -- all of them locked in their order first, so that two that widen never wait in a circle
    PERFORM FROM exact_anchor a
    WHERE a.index_id = exact_widen.index_id AND a.anchor IN (SELECT (w ->> 'anchor')::int FROM jsonb_array_elements(wider) w)
    ORDER BY a.anchor FOR NO KEY UPDATE;
    UPDATE exact_anchor a SET nearest = least(a.nearest, w.nearest), farthest = greatest(a.farthest, w.farthest)
    FROM jsonb_to_recordset(wider) w (anchor int, nearest int, farthest int)
    WHERE a.index_id = exact_widen.index_id AND a.anchor = w.anchor;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_widen(integer, jsonb) IS
    'Ends what exact_put_statement began: widens the bounds of anchors, in the same transaction as the rows.';

CREATE OR REPLACE FUNCTION radretrieval.exact_facets(image_ids bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    -- in the order of the columns: two that add the same facets wait for each other, never in a circle
    INSERT INTO facet (format, photometric, modality, body_part, view_position, laterality, irma_code, split, withdrawn)
    SELECT n.* FROM (
        SELECT DISTINCT i.format, i.photometric, coalesce(i.modality, ''), coalesce(i.body_part, ''),
               coalesce(i.view_position, ''), coalesce(i.laterality, ''), coalesce(i.irma_code, ''), coalesce(i.split, ''),
               i.withdrawn
        FROM image i WHERE i.id = ANY (image_ids)
        ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9
    ) n (format, photometric, modality, body_part, view_position, laterality, irma_code, split, withdrawn)
    WHERE NOT EXISTS (
        SELECT FROM facet f
        WHERE (f.format, f.photometric, f.modality, f.body_part, f.view_position, f.laterality, f.irma_code, f.split, f.withdrawn)
            = (n.format, n.photometric, n.modality, n.body_part, n.view_position, n.laterality, n.irma_code, n.split, n.withdrawn))
    ON CONFLICT DO NOTHING;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_facets(bigint[]) IS
    'Adds the facets of these images that are not there yet, for the triggers and for index build.';

-- The source is read again, less what is in the index already, where the first pass met images whose facets were new.
CREATE OR REPLACE FUNCTION radretrieval.exact_not_put(index_id integer, image_ids bigint[], missing bigint) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    left_out bigint[];
BEGIN
    EXECUTE 'SELECT array_agg(u) FROM unnest($1) u WHERE NOT EXISTS (SELECT FROM exact_' || index_id
        || ' e WHERE e.image_id = u)' INTO left_out USING image_ids;
    IF cardinality(left_out) <> missing THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the exact index ' || index_id
            || ' has codes of some of these images already; radretrieval index check tells more';
    END IF;
    PERFORM exact_facets(left_out);
    RETURN left_out;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_not_put(integer, bigint[], bigint) IS
    'Which of these images an exact index has not yet; the facets of those are there afterwards. For its triggers.';

CREATE OR REPLACE FUNCTION radretrieval.exact_none_missing(index_id integer, missing bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF missing > 0 THEN
        -- an image, a facet or an anchor that this transaction's snapshot does not show
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
            MESSAGE = missing || ' codes could not be put into the exact index ' || index_id
                || ', for their images or its anchors are not those that were told of; try again';
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_none_missing(integer, bigint) IS
    'An error where codes could not be put into an exact index. For its triggers.';

CREATE OR REPLACE FUNCTION radretrieval.exact_put(index_id integer, image_ids bigint[], anchors integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp SET jit = off AS $$
DECLARE
    missing bigint;
    wider jsonb;
BEGIN
    PERFORM exact_facets(image_ids);
    EXECUTE exact_put_statement(index_id,
        'SELECT c.image_id, c.code, h.hint FROM unnest($1, $2) h (image_id, hint) JOIN cnnc_'
        || (SELECT x.encoder_id FROM exact_index x WHERE x.id = exact_put.index_id)
        || ' c ON c.image_id = h.image_id AND c.encoder_id = '
        || (SELECT x.encoder_id FROM exact_index x WHERE x.id = exact_put.index_id)) INTO missing, wider USING image_ids, anchors;
    PERFORM exact_none_missing(index_id, missing);
    IF wider IS NOT NULL THEN
        PERFORM exact_widen(index_id, wider);
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_put(integer, bigint[], integer[]) IS
    'Puts the codes of these images, each with an anchor (NULL for the nearest), into an exact index that has them not yet. '
    'For index build.';

-- One code, without the statement for many, whose planning would take longer than everything else.
CREATE OR REPLACE FUNCTION radretrieval.exact_put_one(index_id integer, new_image bigint, new_code bit, hint integer) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    near record;
    facet integer;
BEGIN
    FOR try IN 1 .. 2 LOOP
        SELECT t.id INTO facet FROM image i JOIN facet t
            ON (t.format, t.photometric, t.modality, t.body_part, t.view_position, t.laterality, t.irma_code, t.split, t.withdrawn)
                = (i.format, i.photometric, coalesce(i.modality, ''), coalesce(i.body_part, ''), coalesce(i.view_position, ''),
                   coalesce(i.laterality, ''), coalesce(i.irma_code, ''), coalesce(i.split, ''), i.withdrawn)
            WHERE i.id = new_image;
        EXIT WHEN facet IS NOT NULL;
        PERFORM exact_facets(ARRAY[new_image]);
    END LOOP;
    SELECT a.anchor, a.nearest, a.farthest, (a.code <~> new_code)::int AS distance INTO near FROM exact_anchor a
    WHERE a.index_id = exact_put_one.index_id AND (hint IS NULL OR a.anchor = hint) ORDER BY distance, a.anchor LIMIT 1;
    PERFORM exact_none_missing(index_id, CASE WHEN facet IS NULL OR near.anchor IS NULL THEN 1 ELSE 0 END);
    EXECUTE 'INSERT INTO exact_' || index_id || ' (key, facet_id, image_id, code) VALUES ($1, $2, $3, $4)'
        USING near.anchor * 1024 + near.distance, facet, new_image, new_code;
    IF NOT EXISTS (SELECT FROM exact_cell c
                   WHERE c.index_id = exact_put_one.index_id AND c.facet_id = facet AND c.anchor = near.anchor) THEN
        INSERT INTO exact_cell (index_id, facet_id, anchor, codes) VALUES (exact_put_one.index_id, facet, near.anchor, 1)
        ON CONFLICT DO NOTHING;
    END IF;
    IF near.distance NOT BETWEEN near.nearest AND near.farthest THEN
        UPDATE exact_anchor a SET nearest = least(a.nearest, near.distance), farthest = greatest(a.farthest, near.distance)
        WHERE a.index_id = exact_put_one.index_id AND a.anchor = near.anchor;
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_put_one(integer, bigint, bit, integer) IS
    'Puts one code into an exact index, with an anchor (NULL for the nearest). For its triggers.';

-- With a snapshot of its own time a writer would not see an index that was begun, or a code that was written, since then.
CREATE OR REPLACE FUNCTION radretrieval.exact_writer_sees() RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    -- the sequence tells, whatever the snapshot, whether an index was ever begun
    IF current_setting('transaction_isolation') <> 'read committed' AND (SELECT s.is_called FROM exact_index_id_seq s) THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'codes, and labels of images, are written in READ COMMITTED transactions only, not in '
                || upper(current_setting('transaction_isolation')) || ' ones: an exact index might miss them',
            HINT = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, first in the transaction.';
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_writer_sees() IS
    'An error where a transaction might not see which exact indexes there are. For their triggers.';

CREATE OR REPLACE FUNCTION radretrieval.exact_cnnc_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp SET jit = off AS $$
DECLARE
    x record;
    -- what a writer who knows the anchors may say beforehand, for this transaction: 'index {image ids} {anchors}'
    said text[] := string_to_array(nullif(current_setting('radretrieval.anchors', true), ''), ' ');
    come bigint[];
    one record;
    source CONSTANT text := 'SELECT a.image_id, a.code, h.hint FROM after a LEFT JOIN unnest($2, $3) h (image_id, hint) '
        'ON h.image_id = a.image_id WHERE a.encoder_id = $1';
    missing bigint;
    wider jsonb;
BEGIN
    PERFORM exact_writer_sees();
    FOR x IN SELECT i.id, i.encoder_id, i.live FROM exact_index i ORDER BY i.id LOOP
        IF TG_OP <> 'INSERT' THEN
            IF x.live THEN
                EXECUTE 'DELETE FROM exact_' || x.id || ' e USING before b WHERE e.image_id = b.image_id AND b.encoder_id = $1'
                    USING x.encoder_id;
            ELSE
                INSERT INTO exact_touched (index_id, image_id) SELECT x.id, b.image_id FROM before b WHERE b.encoder_id = x.encoder_id;
            END IF;
        END IF;
        CONTINUE WHEN TG_OP = 'DELETE';  -- then there is no table `after` to name
        SELECT array_agg(a.image_id) INTO come FROM after a WHERE a.encoder_id = x.encoder_id;
        CONTINUE WHEN come IS NULL;
        IF NOT x.live THEN
            INSERT INTO exact_touched (index_id, image_id) SELECT x.id, u FROM unnest(come) u;
            CONTINUE;
        END IF;
        -- who labels one of these images now is waited for, and who begins to waits for us - else neither would see what the
        -- other wrote; each statement that follows sees what is committed by then
        PERFORM FROM image i WHERE i.id = ANY (come) ORDER BY i.id FOR SHARE;
        IF cardinality(come) = 1 THEN
            SELECT a.image_id, a.code INTO one FROM after a WHERE a.encoder_id = x.encoder_id;
            PERFORM exact_put_one(x.id, one.image_id, one.code,
                                  CASE WHEN said[1] = x.id::text AND said[2] = '{' || one.image_id || '}'
                                       THEN (said[3]::integer[])[1] END);
            CONTINUE;
        ELSIF said[1] IS DISTINCT FROM x.id::text THEN
            said[2] := '{}';
            said[3] := '{}';
        END IF;
        EXECUTE exact_put_statement(x.id, source)
            INTO missing, wider USING x.encoder_id, said[2]::bigint[], said[3]::integer[];
        IF wider IS NOT NULL THEN
            PERFORM exact_widen(x.id, wider);
        END IF;
        CONTINUE WHEN missing = 0;
        come := exact_not_put(x.id, come, missing);
        EXECUTE exact_put_statement(x.id, source || ' AND a.image_id = ANY ($4)')
            INTO missing, wider USING x.encoder_id, said[2]::bigint[], said[3]::integer[], come;
        PERFORM exact_none_missing(x.id, missing);
        IF wider IS NOT NULL THEN
            PERFORM exact_widen(x.id, wider);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_cnnc_changed() IS
    'Keeps the exact indexes true to the codes, whoever writes them, in the writing transaction.';

CREATE OR REPLACE FUNCTION radretrieval.exact_cnnc_emptied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    x record;
BEGIN
    FOR x IN SELECT i.id FROM exact_index i WHERE TG_TABLE_NAME = 'cnnc_' || i.encoder_id LOOP
        EXECUTE 'TRUNCATE exact_' || x.id;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_cnnc_emptied() IS 'Empties the exact indexes of codes that were truncated.';

-- Statements that name the parent fire the parent's triggers, those that name a partition fire the partition's.
CREATE OR REPLACE FUNCTION radretrieval.exact_attend(codes regclass) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    EXECUTE 'CREATE TRIGGER exact_put AFTER INSERT ON ' || codes
        || ' REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION exact_cnnc_changed()';
    EXECUTE 'CREATE TRIGGER exact_change AFTER UPDATE ON ' || codes
        || ' REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION exact_cnnc_changed()';
    EXECUTE 'CREATE TRIGGER exact_take AFTER DELETE ON ' || codes
        || ' REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION exact_cnnc_changed()';
    EXECUTE 'CREATE TRIGGER exact_empty AFTER TRUNCATE ON ' || codes
        || ' FOR EACH STATEMENT EXECUTE FUNCTION exact_cnnc_emptied()';
END
$$;

COMMENT ON FUNCTION radretrieval.exact_attend(regclass) IS
    'Has the exact indexes follow what is written to cnnc, or to the partition of an encoder that is made.';

CREATE OR REPLACE FUNCTION radretrieval.exact_image_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    x record;
    changed bigint[];
BEGIN
    SELECT array_agg(a.id) INTO changed FROM after a JOIN before b ON b.id = a.id
    WHERE (a.format, a.photometric, a.modality, a.body_part, a.view_position, a.laterality, a.irma_code, a.split, a.withdrawn)
        IS DISTINCT FROM
          (b.format, b.photometric, b.modality, b.body_part, b.view_position, b.laterality, b.irma_code, b.split, b.withdrawn);
    IF changed IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM exact_writer_sees();
    IF NOT EXISTS (SELECT FROM exact_index) THEN
        RETURN NULL;
    END IF;
    PERFORM exact_facets(changed);
    FOR x IN SELECT i.id, i.live FROM exact_index i ORDER BY i.id LOOP
        IF NOT x.live THEN
            INSERT INTO exact_touched (index_id, image_id) SELECT x.id, u FROM unnest(changed) u;
            CONTINUE;
        END IF;
        EXECUTE replace($sql$
            WITH moved AS (
                UPDATE exact_{index} e SET facet_id = t.id
                FROM image i JOIN facet t ON (t.format, t.photometric, t.modality, t.body_part, t.view_position, t.laterality,
                                              t.irma_code, t.split, t.withdrawn)
                    = (i.format, i.photometric, coalesce(i.modality, ''), coalesce(i.body_part, ''), coalesce(i.view_position, ''),
                       coalesce(i.laterality, ''), coalesce(i.irma_code, ''), coalesce(i.split, ''), i.withdrawn)
                WHERE i.id = ANY ($1) AND e.image_id = i.id
                RETURNING e.facet_id, e.key)
            INSERT INTO exact_cell (index_id, facet_id, anchor, codes)
            SELECT {index}, m.facet_id, m.key >> 10, count(*) FROM moved m
            WHERE NOT EXISTS (SELECT FROM exact_cell c
                              WHERE c.index_id = {index} AND c.facet_id = m.facet_id AND c.anchor = m.key >> 10)
            GROUP BY 2, 3 ORDER BY 2, 3
            ON CONFLICT DO NOTHING
            $sql$, '{index}', x.id::text) USING changed;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_image_changed() IS
    'Keeps the facets in the exact indexes true to the labels of the images, in the labelling transaction.';
