-- dblink has no deadline of its own but statement_timeout, and keeps connections of a name open in the session: an answer that was
-- left unread in one is met by dblink_send_query, which then gives 0. A site that stalls is disconnected, for dblink_cancel_query
-- would wait for it, and is not asked again for a minute.
CREATE OR REPLACE FUNCTION radretrieval.federated_similar_partial(
    image bigint, k integer DEFAULT 10, encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}', deadline interval DEFAULT '5s')
RETURNS TABLE (rank integer, site text, image_id bigint, distance integer, irma_code text, problem text)
LANGUAGE plpgsql VOLATILE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    question CONSTANT text := (
        SELECT format('SELECT n.image_id, n.distance, i.irma_code FROM radretrieval.federated_nearest(%L::bit(1000), %s, %L, %L, %L) n'
                      ' JOIN radretrieval.image i ON i.id = n.image_id', code_of(federated_similar_partial.image, number),
                      federated_similar_partial.k, encode(e.weights_sha256, 'hex'), federated_similar_partial.filter, jsonb_build_object(
                          'who', session_user, 'detail', jsonb_build_object(
                              'query_image_id', NULL, 'query_sha256', encode(i.sha256, 'hex'),
                              'parameters', jsonb_build_object('top', federated_similar_partial.k)),
                          'film', jsonb_build_object('sha256', encode(i.sha256, 'hex'), 'frame', i.frame,
                                                     'sop_instance_uid', i.sop_instance_uid,
                                                     'pixels_sha256', encode(i.pixels_sha256, 'hex'))))
        FROM encoder e, image i WHERE e.id = number AND i.id = federated_similar_partial.image);
    till timestamptz;
    s text;  -- a site, the name of a foreign server
    c text;  -- the connection to it
    open text[] := '{}';
    bad jsonb := '{}';
    hits jsonb := '[]';
    part jsonb;
    known text[];
    stopped boolean := false;
    nap double precision := 0.0002;
    detail text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'dblink') THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'this needs the extension dblink, and a server for each site; the DBA runs: CREATE EXTENSION dblink; '
                'docs/federation.md says the rest';
    ELSIF filter ?| ARRAY['not_image', 'one_per', 'sql'] THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'not_image, one_per and sql hold in one archive alone; leave them out of the filter';
    END IF;
    FOR s IN
        SELECT f.srvname FROM pg_foreign_server f JOIN pg_foreign_data_wrapper w ON w.oid = f.srvfdw
        WHERE w.fdwname = 'dblink_fdw' AND has_server_privilege(f.oid, 'USAGE') ORDER BY 1
    LOOP
        c := 'radretrieval/' || s || '/' || current_user;  -- another role has other rights there
        IF clock_timestamp() < nullif(current_setting('radretrieval.down_' || md5(c), true), '')::timestamptz THEN
            bad := bad || jsonb_build_object(s, 'did not answer less than a minute ago, and was not asked');
            CONTINUE;
        END IF;
        BEGIN
            known := coalesce(dblink_get_connections(), '{}');
            IF c = ANY (known) AND dblink_send_query(c, question) = 1 THEN
                open := open || s;
                CONTINUE;
            ELSIF c = ANY (known) THEN
                PERFORM dblink_disconnect(c);
            END IF;
            IF stopped THEN
                bad := bad || jsonb_build_object(s, 'was not asked: the statement was cancelled while another was connected to');
                CONTINUE;
            END IF;
            PERFORM dblink_connect(c, s);
            IF dblink_send_query(c, question) = 0 THEN
                RAISE EXCEPTION '%', dblink_error_message(c);
            END IF;
            open := open || s;
        EXCEPTION
            WHEN query_canceled THEN  -- by statement_timeout: nothing else ends a connection attempt
                stopped := true;
                bad := bad || jsonb_build_object(s, 'could not be connected to before the statement was cancelled');
                PERFORM set_config('radretrieval.down_' || md5(c), (clock_timestamp() + interval '1 min')::text, false);
            WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
                bad := bad || jsonb_build_object(s, concat_ws(': ', SQLERRM, nullif(detail, '')));
        END;
    END LOOP;
    IF open = '{}' AND bad = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'there is no site: no foreign server of dblink_fdw that ' || current_user || ' may use';
    END IF;
    till := clock_timestamp() + deadline;
    WHILE open <> '{}' LOOP
        FOREACH s IN ARRAY open LOOP
            c := 'radretrieval/' || s || '/' || current_user;
            BEGIN
                IF dblink_is_busy(c) = 0 THEN
                    open := array_remove(open, s);
                    SELECT jsonb_agg(jsonb_build_array(s, r.image_id, r.distance, r.irma_code)) INTO part
                        FROM dblink_get_result(c) r (image_id bigint, distance integer, irma_code text);
                    -- the end of the answer; before it is read, nothing can be asked
                    PERFORM FROM dblink_get_result(c) r (image_id bigint, distance integer, irma_code text);
                    hits := hits || coalesce(part, '[]');
                ELSIF clock_timestamp() > till THEN
                    open := array_remove(open, s);
                    bad := bad || jsonb_build_object(s, 'no answer within ' || deadline);
                    PERFORM dblink_disconnect(c),
                            set_config('radretrieval.down_' || md5(c), (clock_timestamp() + interval '1 min')::text, false);
                END IF;
            EXCEPTION WHEN OTHERS THEN
                open := array_remove(open, s);
                bad := bad || jsonb_build_object(s, SQLERRM);
                PERFORM dblink_disconnect(c);
            END;
        END LOOP;
        IF open <> '{}' THEN
            PERFORM pg_sleep(nap);
            nap := least(1.3 * nap, 0.01);
        END IF;
    END LOOP;
    RETURN QUERY
        SELECT (row_number() OVER (ORDER BY (h ->> 2)::integer, (h ->> 0) COLLATE "C", (h ->> 1)::bigint))::integer, h ->> 0,
               (h ->> 1)::bigint, (h ->> 2)::integer, h ->> 3, NULL::text
        FROM jsonb_array_elements(hits) h ORDER BY 1 LIMIT k;
    RETURN QUERY SELECT NULL::integer, b.key, NULL::bigint, NULL::integer, NULL::text, b.value FROM jsonb_each_text(bad) b ORDER BY 2;
END
$$;

COMMENT ON FUNCTION radretrieval.federated_similar_partial(bigint, integer, integer, jsonb, interval) IS
    'As federated_similar, but a site that does not answer is a row with its problem, and without an image; the others are the k '
    'nearest of the sites that answered.';
