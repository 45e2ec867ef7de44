-- What everything is, for psql's \d+ and \df+. No per cent sign and no colon before a word stands here.

COMMENT ON TABLE radretrieval.image IS 'Radiographs of the archive, one row a file; the pixels stay in the files.';
COMMENT ON COLUMN radretrieval.image.id IS
    'Number of the image, in the order of ingestion; what searches and all other tables name it by.';
COMMENT ON COLUMN radretrieval.image.sha256 IS 'SHA-256 of the file, 32 bytes: a file is known by its content, wherever it lies.';
COMMENT ON COLUMN radretrieval.image.uri IS 'Where the file was seen last, file:///….';
COMMENT ON COLUMN radretrieval.image.format IS 'What kind of file it is: png, jpeg, tiff or dicom.';
COMMENT ON COLUMN radretrieval.image.rows IS 'Height in pixels.';
COMMENT ON COLUMN radretrieval.image.columns IS 'Width in pixels.';
COMMENT ON COLUMN radretrieval.image.bits_stored IS 'Bits of a grey value, 1 to 16.';
COMMENT ON COLUMN radretrieval.image.photometric IS
    'What the pixel values mean, in DICOM''s words: MONOCHROME1 (0 is white), MONOCHROME2 (0 is black), RGB, ….';
COMMENT ON COLUMN radretrieval.image.modality IS 'DICOM modality, as CR, DX or MG; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.body_part IS
    'Examined part of the body, in DICOM''s words, as CHEST; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.view_position IS
    'Direction of the view, in DICOM''s words, as PA or LL; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.laterality IS 'Side of a paired part of the body, R or L; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.sop_instance_uid IS
    'DICOM SOP Instance UID: the identity of the image beside its content; NULL of other files.';
COMMENT ON COLUMN radretrieval.image.series_instance_uid IS 'DICOM Series Instance UID; NULL of other files.';
COMMENT ON COLUMN radretrieval.image.study_instance_uid IS
    'DICOM Study Instance UID: one examination of a patient; NULL of other files.';
COMMENT ON COLUMN radretrieval.image.patient_key IS
    'Pseudonym of the patient, a keyed hash and never the identifier; NULL where the patient is not known.';
COMMENT ON COLUMN radretrieval.image.irma_code IS
    'IRMA code TTTT-DDD-AAA-BBB, the class of the image; NULL without a label. The view image_decoded has it in words.';
COMMENT ON COLUMN radretrieval.image.split IS 'Which part of a data set the image belongs to, as train or test; NULL for none.';
COMMENT ON COLUMN radretrieval.image.ingested_at IS 'When the image came into the archive.';

COMMENT ON TABLE radretrieval.ingest_failure IS
    'Files that could not be taken into the archive, and why; a file that is mended or gone leaves it.';
COMMENT ON COLUMN radretrieval.ingest_failure.uri IS 'Where the file lies, file:///….';
COMMENT ON COLUMN radretrieval.ingest_failure.sha256 IS 'SHA-256 of the file, 32 bytes; NULL where it could not be read.';
COMMENT ON COLUMN radretrieval.ingest_failure.error IS 'Kind of the error, as ImageError.';
COMMENT ON COLUMN radretrieval.ingest_failure.message IS 'What is wrong, in words.';
COMMENT ON COLUMN radretrieval.ingest_failure.attempts IS 'How often it was tried, from 1.';
COMMENT ON COLUMN radretrieval.ingest_failure.last_at IS 'When it was tried last.';

COMMENT ON TABLE radretrieval.encoder IS
    'Trained networks, each with its profile; their codes are never compared with one another.';
COMMENT ON COLUMN radretrieval.encoder.id IS 'Number of the encoder, in the order of training.';
COMMENT ON COLUMN radretrieval.encoder.profile IS 'Every number of the method: network, training, barcode, query.';
COMMENT ON COLUMN radretrieval.encoder.profile_hash IS
    'SHA-256 of the profile, 64 hexadecimal digits: encoders of equal hash differ in their weights only.';
COMMENT ON COLUMN radretrieval.encoder.classes IS 'IRMA code of each softmax unit, in their order.';
COMMENT ON COLUMN radretrieval.encoder.weights IS 'The weights, in the format safetensors; about 140 MB.';
COMMENT ON COLUMN radretrieval.encoder.weights_sha256 IS 'SHA-256 of the weights, 32 bytes.';
COMMENT ON COLUMN radretrieval.encoder.metrics IS 'What was noted of the training: split, images, loss, ….';
COMMENT ON COLUMN radretrieval.encoder.created_at IS 'When it was stored.';
COMMENT ON COLUMN radretrieval.encoder.active IS 'Searches and workers use it unless another is named; at most one is.';

COMMENT ON TABLE radretrieval.cnnc IS 'CNN codes, in a partition cnnc_<id> for each encoder.';
COMMENT ON COLUMN radretrieval.cnnc.encoder_id IS 'Encoder that made the code.';
COMMENT ON COLUMN radretrieval.cnnc.image_id IS 'Image that has the code.';
COMMENT ON COLUMN radretrieval.cnnc.code IS '1000 bits; a <~> b is the Hamming distance of two of them, 0 to 1000.';

COMMENT ON TABLE radretrieval.geometry IS 'Kinds of Radon barcodes; only barcodes of one kind can be compared.';
COMMENT ON COLUMN radretrieval.geometry.id IS 'Number of the geometry.';
COMMENT ON COLUMN radretrieval.geometry.size IS 'Side of the square that the image is brought to, in pixels.';
COMMENT ON COLUMN radretrieval.geometry.angles IS 'How many projections, evenly over 180 degrees.';
COMMENT ON COLUMN radretrieval.geometry.bins IS 'Bins of one projection: the diagonal of the square in pixels, rounded up.';
COMMENT ON COLUMN radretrieval.geometry.rule IS
    'How a bin becomes a bit: median-positive, whether it is above the median of the projection''s positive bins.';

COMMENT ON TABLE radretrieval.barcode IS 'Radon barcodes (RBC): the shape of an image as angles x bins bits.';
COMMENT ON COLUMN radretrieval.barcode.geometry_id IS 'Geometry that the barcode was made with.';
COMMENT ON COLUMN radretrieval.barcode.image_id IS 'Image that has the barcode.';
COMMENT ON COLUMN radretrieval.barcode.code IS
    'The bits, angle by angle, packed with the first bit highest; rbc_distance() compares two of them.';

COMMENT ON TABLE radretrieval.coding_failure IS
    'Images that could not be coded by an encoder, and why; an image that has a code leaves it.';
COMMENT ON COLUMN radretrieval.coding_failure.encoder_id IS 'Encoder that could not.';
COMMENT ON COLUMN radretrieval.coding_failure.image_id IS 'Image that could not be coded.';
COMMENT ON COLUMN radretrieval.coding_failure.error IS 'Kind of the error, as ImageError.';
COMMENT ON COLUMN radretrieval.coding_failure.message IS 'What is wrong, in words.';
COMMENT ON COLUMN radretrieval.coding_failure.attempts IS 'How often it was tried, from 1.';
COMMENT ON COLUMN radretrieval.coding_failure.last_at IS 'When it was tried last.';

COMMENT ON TABLE radretrieval.irma_term IS 'The official tree of IRMA codes: every beginning of an axis and what it means.';
COMMENT ON COLUMN radretrieval.irma_term.axis IS 'T technique, D direction, A anatomy, B biosystem.';
COMMENT ON COLUMN radretrieval.irma_term.prefix IS 'First characters of the axis, from none (the root) to all of them.';
COMMENT ON COLUMN radretrieval.irma_term.label IS 'What the last of these characters means.';
COMMENT ON COLUMN radretrieval.irma_term.children IS
    'How many characters may follow; 0 ends the axis. ImageCLEF''s error is weighted by it.';

COMMENT ON COLUMN radretrieval.facet.id IS 'Number of the combination; rows of exact indexes name it.';
COMMENT ON COLUMN radretrieval.facet.format IS 'As image.format.';
COMMENT ON COLUMN radretrieval.facet.photometric IS 'As image.photometric.';
COMMENT ON COLUMN radretrieval.facet.modality IS 'As image.modality; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.body_part IS 'As image.body_part; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.view_position IS 'As image.view_position; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.laterality IS 'As image.laterality; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.irma_code IS 'As image.irma_code; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.split IS 'As image.split; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.withdrawn IS 'As image.withdrawn.';

COMMENT ON COLUMN radretrieval.exact_index.id IS 'Number of the index, and of its table exact_<id>.';

COMMENT ON COLUMN radretrieval.exact_anchor.index_id IS 'Index that the anchor belongs to.';
COMMENT ON COLUMN radretrieval.exact_anchor.code IS '1000 bits that the codes of the anchor are near to.';

COMMENT ON COLUMN radretrieval.exact_cell.index_id IS 'Index that the anchor belongs to.';
COMMENT ON COLUMN radretrieval.exact_cell.facet_id IS 'Combination (facet.id) that some code of the anchor has.';
COMMENT ON COLUMN radretrieval.exact_cell.anchor IS 'Number of the anchor.';

COMMENT ON COLUMN radretrieval.exact_touched.index_id IS 'Index that is being built.';
COMMENT ON COLUMN radretrieval.exact_touched.image_id IS 'Image whose code or labels changed.';

COMMENT ON COLUMN radretrieval.hnsw_audit.encoder_id IS 'Encoder whose HNSW index was measured.';

COMMENT ON TABLE radretrieval.neighbour IS
    'The nearest images of each image by CNN code: a snapshot that fill_neighbours() makes. Images that come later are not '
    'put into older rows; rows go with either image, and the ranks then have a gap.';
COMMENT ON COLUMN radretrieval.neighbour.encoder_id IS 'Encoder whose codes were compared.';
COMMENT ON COLUMN radretrieval.neighbour.image_id IS 'Image whose neighbours these are.';
COMMENT ON COLUMN radretrieval.neighbour.rank IS 'Place among its neighbours by (distance, neighbour_id), from 1.';
COMMENT ON COLUMN radretrieval.neighbour.neighbour_id IS 'The image that is near to it.';
COMMENT ON COLUMN radretrieval.neighbour.distance IS 'In how many bits their codes differ, 0 to 1000.';
COMMENT ON COLUMN radretrieval.neighbour.filled_at IS
    'When the neighbours of this image were found; images that came later were not among those looked at.';

COMMENT ON COLUMN radretrieval.image_decoded.id IS
    'Number of the image, in the order of ingestion; what searches and all other tables name it by.';
COMMENT ON COLUMN radretrieval.image_decoded.sha256 IS
    'SHA-256 of the file, 32 bytes: a file is known by its content, wherever it lies.';
COMMENT ON COLUMN radretrieval.image_decoded.uri IS 'Where the file was seen last, file:///….';
COMMENT ON COLUMN radretrieval.image_decoded.format IS 'What kind of file it is: png, jpeg, tiff or dicom.';
COMMENT ON COLUMN radretrieval.image_decoded.rows IS 'Height in pixels.';
COMMENT ON COLUMN radretrieval.image_decoded.columns IS 'Width in pixels.';
COMMENT ON COLUMN radretrieval.image_decoded.bits_stored IS 'Bits of a grey value, 1 to 16.';
COMMENT ON COLUMN radretrieval.image_decoded.photometric IS
    'What the pixel values mean, in DICOM''s words: MONOCHROME1 (0 is white), MONOCHROME2 (0 is black), RGB, ….';
COMMENT ON COLUMN radretrieval.image_decoded.modality IS 'DICOM modality, as CR, DX or MG; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image_decoded.body_part IS
    'Examined part of the body, in DICOM''s words, as CHEST; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image_decoded.view_position IS
    'Direction of the view, in DICOM''s words, as PA or LL; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image_decoded.laterality IS 'Side of a paired part of the body, R or L; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image_decoded.sop_instance_uid IS
    'DICOM SOP Instance UID: the identity of the image beside its content; NULL of other files.';
COMMENT ON COLUMN radretrieval.image_decoded.series_instance_uid IS 'DICOM Series Instance UID; NULL of other files.';
COMMENT ON COLUMN radretrieval.image_decoded.study_instance_uid IS
    'DICOM Study Instance UID: one examination of a patient; NULL of other files.';
COMMENT ON COLUMN radretrieval.image_decoded.patient_key IS
    'Pseudonym of the patient, a keyed hash and never the identifier; NULL where the patient is not known.';
COMMENT ON COLUMN radretrieval.image_decoded.irma_code IS
    'IRMA code TTTT-DDD-AAA-BBB, the class of the image; NULL without a label.';
COMMENT ON COLUMN radretrieval.image_decoded.split IS
    'Which part of a data set the image belongs to, as train or test; NULL for none.';
COMMENT ON COLUMN radretrieval.image_decoded.ingested_at IS 'When the image came into the archive.';
COMMENT ON COLUMN radretrieval.image_decoded.withdrawn IS
    'Its label was taken back by its publisher: kept and searchable, left out of training and scores unless asked.';
COMMENT ON COLUMN radretrieval.image_decoded.technique IS 'Axis T of the IRMA code in words: how the image was made.';
COMMENT ON COLUMN radretrieval.image_decoded.direction IS 'Axis D of the IRMA code in words: from where it was taken.';
COMMENT ON COLUMN radretrieval.image_decoded.anatomy IS 'Axis A of the IRMA code in words: what part of the body it shows.';
COMMENT ON COLUMN radretrieval.image_decoded.biosystem IS
    'Axis B of the IRMA code in words: which system of the body was examined.';

COMMENT ON COLUMN radretrieval.irma_class.irma_code IS 'IRMA code TTTT-DDD-AAA-BBB.';
COMMENT ON COLUMN radretrieval.irma_class.technique IS 'Axis T of the IRMA code in words: how the image was made.';
COMMENT ON COLUMN radretrieval.irma_class.direction IS 'Axis D of the IRMA code in words: from where it was taken.';
COMMENT ON COLUMN radretrieval.irma_class.anatomy IS 'Axis A of the IRMA code in words: what part of the body it shows.';
COMMENT ON COLUMN radretrieval.irma_class.biosystem IS 'Axis B of the IRMA code in words: which system of the body was examined.';
COMMENT ON COLUMN radretrieval.irma_class.images IS 'How many images have the code, withdrawn ones included.';
COMMENT ON COLUMN radretrieval.irma_class.train IS 'How many of them are of the split train.';
COMMENT ON COLUMN radretrieval.irma_class.test IS 'How many of them are of the split test.';

COMMENT ON COLUMN radretrieval.coverage.split IS 'Split of the images; NULL for none.';
COMMENT ON COLUMN radretrieval.coverage.modality IS 'DICOM modality; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.coverage.body_part IS 'Examined part of the body; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.coverage.irma_code IS 'Class of the images; NULL without a label.';
COMMENT ON COLUMN radretrieval.coverage.images IS 'How many images there are: coded and pending.';
COMMENT ON COLUMN radretrieval.coverage.coded IS 'How many have a code of the active encoder, and so can be found.';
COMMENT ON COLUMN radretrieval.coverage.barcoded IS 'How many have a barcode of its geometry, and so can be re-ranked.';
COMMENT ON COLUMN radretrieval.coverage.failed IS 'How many of the pending ones could not be coded when they were tried last.';
COMMENT ON COLUMN radretrieval.coverage.pending IS 'How many have no code of the active encoder.';

COMMENT ON COLUMN radretrieval.pending.image_id IS 'Image that has no code.';
COMMENT ON COLUMN radretrieval.pending.encoder_id IS 'The active encoder; NULL when none is.';
COMMENT ON COLUMN radretrieval.pending.uri IS 'Where its file was seen last.';
COMMENT ON COLUMN radretrieval.pending.split IS 'Split of the image; NULL for none.';
COMMENT ON COLUMN radretrieval.pending.ingested_at IS 'When it came into the archive.';
COMMENT ON COLUMN radretrieval.pending.waiting IS 'How long it has been in the archive.';
COMMENT ON COLUMN radretrieval.pending.error IS 'Kind of the last error; NULL where it was not tried, or never failed.';
COMMENT ON COLUMN radretrieval.pending.message IS 'What was wrong, in words; NULL as error.';
COMMENT ON COLUMN radretrieval.pending.attempts IS 'How often it was tried in vain; NULL as error.';
COMMENT ON COLUMN radretrieval.pending.failed_at IS 'When it was tried last; NULL as error.';

COMMENT ON COLUMN radretrieval.filter_parts.facets IS 'Condition on facet f, as SQL; NULL for none.';
COMMENT ON COLUMN radretrieval.filter_parts.tests IS 'Conditions on image i that facet cannot answer, as SQL; NULL for none.';
COMMENT ON COLUMN radretrieval.filter_parts.images IS 'All conditions, on image i, as SQL; NULL for none.';
COMMENT ON COLUMN radretrieval.filter_parts.not_images IS 'Images that are left out.';
COMMENT ON COLUMN radretrieval.filter_parts.one_per IS
    'Column of which each value may come once, patient_key or study_instance_uid; NULL for neither.';
COMMENT ON COLUMN radretrieval.filter_parts.most IS 'Largest distance, 0 to 1000.';

COMMENT ON FUNCTION radretrieval.pending_notice() IS
    'Wakes the workers, who LISTEN to radretrieval_pending, when images or an active encoder come.';
