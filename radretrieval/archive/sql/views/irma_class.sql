CREATE OR REPLACE VIEW radretrieval.irma_class AS
SELECT c.irma_code, w.technique, w.direction, w.anatomy, w.biosystem, radretrieval.irma_known(c.irma_code) AS known,
       c.images, c.withdrawn, c.train, c.test, c.by_split
FROM (SELECT s.irma_code, sum(s.images)::bigint AS images, sum(s.withdrawn)::bigint AS withdrawn,
             coalesce(sum(s.images) FILTER (WHERE s.split = 'train'), 0)::bigint AS train,
             coalesce(sum(s.images) FILTER (WHERE s.split = 'test'), 0)::bigint AS test,
             jsonb_object_agg(s.split, s.images) AS by_split
      FROM (SELECT i.irma_code, coalesce(i.split, '') AS split, count(*) AS images, count(*) FILTER (WHERE i.withdrawn) AS withdrawn
            FROM radretrieval.image i WHERE i.irma_code IS NOT NULL AND i.hidden_at IS NULL GROUP BY 1, 2) s
      GROUP BY s.irma_code) c
LEFT JOIN LATERAL radretrieval.irma_words(c.irma_code) w ON true;

COMMENT ON VIEW radretrieval.irma_class IS
    'Each IRMA code that images have: its four axes in words and how many images of each split have it. Images that are '
    'withdrawn from searches are not counted.';
COMMENT ON COLUMN radretrieval.irma_class.known IS 'Whether the code is one of the official tree.';
COMMENT ON COLUMN radretrieval.irma_class.withdrawn IS 'Images whose label its publisher took back.';
COMMENT ON COLUMN radretrieval.irma_class.by_split IS 'Images of each split, as JSON; the key '''' is no split.';
COMMENT ON COLUMN radretrieval.irma_class.irma_code IS 'IRMA code TTTT-DDD-AAA-BBB.';
COMMENT ON COLUMN radretrieval.irma_class.technique IS 'Axis T of the IRMA code in words: how the image was made.';
COMMENT ON COLUMN radretrieval.irma_class.direction IS 'Axis D of the IRMA code in words: from where it was taken.';
COMMENT ON COLUMN radretrieval.irma_class.anatomy IS 'Axis A of the IRMA code in words: what part of the body it shows.';
COMMENT ON COLUMN radretrieval.irma_class.biosystem IS 'Axis B of the IRMA code in words: which system of the body was examined.';
COMMENT ON COLUMN radretrieval.irma_class.images IS 'How many images have the code, those included whose label was taken back.';
COMMENT ON COLUMN radretrieval.irma_class.train IS 'How many of them are of the split train.';
COMMENT ON COLUMN radretrieval.irma_class.test IS 'How many of them are of the split test.';
