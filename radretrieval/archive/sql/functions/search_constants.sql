DROP FUNCTION IF EXISTS radretrieval.search_constants();  -- up to revision 0013 it gave fewer

-- The constants by which the searches choose their way and how much they read at a time. They decide how long an answer
-- takes, never what it is. Beside each stands the benchmark, and the table in it, that shows what it does: a changed value
-- is measured by that one.
CREATE OR REPLACE FUNCTION radretrieval.search_constants()
RETURNS TABLE (index_from integer, index_k_share integer, list_per_hit integer, list_codes integer, list_codes_near integer,
               near_spread double precision, ball_share double precision, sample_hits double precision,
               sample_hits_rare double precision, sample_cells integer, sample_cells_most integer,
               estimate_from double precision, estimate_groups integer, estimate_spare double precision, scan_spare integer,
               blocks_below integer, blocks_share double precision, blocks_per_code double precision,
               graph_cells integer, graph_hits integer)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1 AS $$
    SELECT
        -- codes of an encoder from which its exact index is used: benchmarks/exact.py, new draws, by number of codes
        5000,
        -- the index serves up to one hit in so many codes: benchmarks/exact.py, new draws
        20,
        -- codes that pass a filter are compared one by one while they are at most k times this ...
        20,
        -- ... and this many more, or as many as the next where they lie near each other on disk, which is where they
        -- belong to less than this share of the anchors: benchmarks/exact.py, filters (the column path)
        4000, 15000, 0.5::float8,
        -- the index is left for a scan where more than this share of its codes would be read: benchmarks/exact.py,
        -- outside (random bits, mixtures of two codes)
        0.4::float8,
        -- hits wanted in the nearest cells, as a multiple of k, and the same under a filter that few codes pass, there
        -- times the root of their share: benchmarks/exact.py, new draws and filters
        2::float8, 20::float8,
        -- nearest cells that are read at least, and anchors looked through for them at most (or k / 4): the same
        4, 512,
        -- where the groups within reach have more than this share of the codes, one in so many of them tells how many would
        -- have to be read, and the index is left where that is so many times what it may read: benchmarks/exact.py, outside
        0.9::float8, 8, 1.5::float8,
        -- codes that a scan keeps beyond k for ties: benchmarks/exact.py, plain scan
        200,
        -- near_duplicates: bits below which equal blocks are counted, and how many pairs may share a block, as a share of
        -- the square of the codes or, with an index, for each code. No benchmark of them is kept.
        100, 0.25::float8, 150::float8,
        -- fill_neighbours: nearest cells that are read, and hits in them as a multiple of k. No benchmark is kept.
        4, 3
$$;

COMMENT ON FUNCTION radretrieval.search_constants() IS
    'The constants by which searches choose between an exact index and a scan: they change how long an answer takes, '
    'never the answer.';
