"""Names of tables that come and go with the encoders."""


def partition(encoder_id: int) -> str:
    """The partition of `cnnc` that holds the codes of one encoder."""
    return f"radretrieval.cnnc_{int(encoder_id)}"


def hnsw_index(encoder_id: int) -> str:
    """The HNSW index of one encoder's codes, in the partition's schema."""
    return f"cnnc_{int(encoder_id)}_hnsw"


def exact_table(index_id: int) -> str:
    """The table that holds the rows of one exact index."""
    return f"radretrieval.exact_{int(index_id)}"
