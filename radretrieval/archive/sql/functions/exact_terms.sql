-- Parts of the statements of exact_ball() and exact_create_search(), where t.tau is the distance that is searched to.
CREATE OR REPLACE FUNCTION radretrieval.exact_terms(index_id integer, OUT anchors text, OUT rows text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 'SELECT a.anchor, a.nearest, a.farthest, a.codes, (a.code <~> $1)::int AS dq FROM exact_anchor a'
               ' WHERE a.index_id = ' || index_id || ' AND a.anchor BETWEEN g.first AND g.last OFFSET 0',
           'a.codes * (least(a.dq + t.tau, a.farthest) - greatest(a.dq - t.tau, a.nearest) + 1)::float8'
               ' / greatest(a.farthest - a.nearest + 1, 1)'
$$;

COMMENT ON FUNCTION radretrieval.exact_terms(integer) IS
    'SQL of the searches by an exact index: the anchors of a group g, and how many codes of an anchor a are within its range, '
    'if they are spread evenly.';
