"""Names of tables that come and go with the encoders."""


def partition(encoder_id: int) -> str:
    """The partition of `cnnc` that holds the codes of one encoder."""
    return f"radretrieval.cnnc_{int(encoder_id)}"


def hnsw_index(encoder_id: int) -> str:
    """The HNSW index of one encoder's codes, in the partition's schema."""
    return f"cnnc_{int(encoder_id)}_hnsw"
