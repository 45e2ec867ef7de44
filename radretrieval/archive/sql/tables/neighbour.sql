COMMENT ON TABLE radretrieval.neighbour IS
    'The nearest images of each image by CNN code: a snapshot that fill_neighbours() makes. Images that come later '
    'are not put into older rows; rows go with either image, and the ranks then have a gap.';
COMMENT ON COLUMN radretrieval.neighbour.encoder_id IS 'Encoder whose codes were compared.';
COMMENT ON COLUMN radretrieval.neighbour.image_id IS 'Image whose neighbours these are.';
COMMENT ON COLUMN radretrieval.neighbour.rank IS 'Place among its neighbours by (distance, neighbour_id), from 1.';
COMMENT ON COLUMN radretrieval.neighbour.neighbour_id IS 'The image that is near to it.';
COMMENT ON COLUMN radretrieval.neighbour.distance IS 'In how many bits their codes differ, 0 to 1000.';
COMMENT ON COLUMN radretrieval.neighbour.filled_at IS
    'When the neighbours of this image were found; images that came later were not among those looked at.';
