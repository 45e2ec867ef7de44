COMMENT ON TABLE radretrieval.label_report IS
    'Labels that users say are wrong: of each user and image the last report. It is settled, and stays, once a label of the image changes.';
COMMENT ON COLUMN radretrieval.label_report.id IS 'Number of the report.';
COMMENT ON COLUMN radretrieval.label_report.at IS 'When it was made, or changed last.';
COMMENT ON COLUMN radretrieval.label_report.who IS 'User who made it.';
COMMENT ON COLUMN radretrieval.label_report.image_id IS 'The image.';
COMMENT ON COLUMN radretrieval.label_report.expected IS 'IRMA code that the user expects; NULL where only a remark was given.';
COMMENT ON COLUMN radretrieval.label_report.remark IS 'What is wrong, in the user''s words; NULL where only a code was given.';
COMMENT ON COLUMN radretrieval.label_report.labels IS
    'irma_code, body_part, view_position and laterality of the image when it was reported, as JSON.';
