COMMENT ON TABLE radretrieval.barcode IS 'Radon barcodes (RBC): the shape of an image as angles x bins bits.';
COMMENT ON COLUMN radretrieval.barcode.geometry_id IS 'Geometry that the barcode was made with.';
COMMENT ON COLUMN radretrieval.barcode.image_id IS 'Image that has the barcode.';
COMMENT ON COLUMN radretrieval.barcode.code IS
    'The bits, angle by angle, packed with the first bit highest; rbc_distance() compares two of them.';
