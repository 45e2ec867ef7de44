-- The number of bins is that of radretrieval.coding.radon.bins: the diagonal of the image, rounded up.
CREATE OR REPLACE FUNCTION radretrieval.encoder_geometry(encoder integer) RETURNS smallint
LANGUAGE sql STABLE STRICT SET search_path = radretrieval, public, pg_temp AS $$
    SELECT g.id FROM encoder e CROSS JOIN LATERAL (
        SELECT (e.profile #>> '{barcode,size}')::int AS size, (e.profile #>> '{barcode,angles}')::int AS angles,
               e.profile #>> '{barcode,rule}' AS rule) p
    JOIN geometry g ON g.size = p.size AND g.angles = p.angles AND g.rule = p.rule
                   AND g.bins = ceil(sqrt(2.0::float8 * p.size * p.size))
    WHERE e.id = encoder_geometry.encoder
$$;

COMMENT ON FUNCTION radretrieval.encoder_geometry(integer) IS
    'The geometry (geometry.id) of the barcodes that go with an encoder, by its profile; NULL while the archive has none of'
    ' them.';
