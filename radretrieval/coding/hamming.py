"""Hamming distances of packed codes (CNNC, RBC) in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# codes that are compared at a time, and keys that are ranked at a time: buffers stay in the cache, or within some
# dozen megabytes, for any number of codes
_BLOCK = 2048
_RANKED = 1 << 22


def distances(query: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Number of bits in which each query differs from each code.

    Parameters
    ----------
    query : uint8 (bytes,) or (m, bytes), packed bits.
    codes : uint8 (n, bytes), packed bits of the same length.

    Returns
    -------
    int32 (n,) or (m, n), each 0…8·bytes.

    Raises
    ------
    ValueError : wrong dtype or shape, or lengths that differ.
    """
    query, codes = _checked(query, codes)
    queries = _words(np.atleast_2d(query))
    result = np.empty((len(queries), len(codes)), np.int32)
    sums = np.uint16 if 64 * queries.shape[1] < 2**16 else np.int32  # sums of half the width are faster
    for start in range(0, len(codes), _BLOCK):
        # transposed, the sum over a code's words runs along contiguous memory: four times as fast
        block = np.ascontiguousarray(_words(codes[start : start + _BLOCK]).T)
        # of few codes, several queries are compared at a time: a call costs as much as some thousand words
        step = max(1, min(_BLOCK // block.shape[1], len(queries)))
        differing = np.empty((step, *block.shape), np.uint64)
        counts = np.empty(differing.shape, np.uint8)
        for first in range(0, len(queries), step):
            words = queries[first : first + step, :, None]
            part = slice(0, len(words))
            np.bitwise_xor(words, block, out=differing[part])
            np.bitwise_count(differing[part], out=counts[part])
            result[first : first + step, start : start + _BLOCK] = np.add.reduce(counts[part], axis=1, dtype=sums)
    return result[0] if query.ndim == 1 else result


def paired(query: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Number of bits in which each query differs from each of its own codes.

    Parameters
    ----------
    query : uint8 (m, bytes), packed bits.
    codes : uint8 (m, k, bytes): k codes for each query.

    Returns
    -------
    int32 (m, k), each 0…8·bytes.

    Raises
    ------
    ValueError : wrong dtype or shape, or lengths that differ.
    """
    query, codes = np.asarray(query), np.asarray(codes)
    if codes.ndim != 3 or query.shape != (codes.shape[0], codes.shape[2]):
        raise ValueError(
            f"query has the shape {query.shape}, codes {codes.shape}; needed: (m, bytes) and (m, k, bytes)"
        )
    if query.dtype != np.uint8 or codes.dtype != np.uint8:
        raise ValueError(f"query is {query.dtype}, codes are {codes.dtype}; packed codes are uint8")
    m, k, length = codes.shape
    words = _words(codes.reshape(m * k, length)).reshape(m, k, -1)
    differing: NDArray[np.int32] = np.bitwise_count(words ^ _words(query)[:, None]).sum(-1, dtype=np.int32)
    return differing


def nearest(query: NDArray[np.uint8], codes: NDArray[np.uint8], k: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The k codes nearest to each query, ordered by distance, then by index.

    Parameters
    ----------
    query : uint8 (bytes,) or (m, bytes), packed bits.
    codes : uint8 (n, bytes), packed bits of the same length.
    k : how many, at least 1; where there are fewer codes, all of them.

    Returns
    -------
    indices int64 and distances int32, both (k,) or (m, k).

    Raises
    ------
    ValueError : k below 1, wrong dtype or shape, or lengths that differ.
    """
    query, codes = _checked(query, codes)
    if k < 1:
        raise ValueError(f"k is {k}; at least 1 neighbour must be asked for")
    n = len(codes)
    k = min(k, n)
    queries = np.atleast_2d(query)
    keys = np.empty((len(queries), k), np.int64)
    step = max(1, _RANKED // max(n, 1))
    for start in range(0, len(queries) if n else 0, step):
        # distance·n + index orders by distance and then by index, without two equal keys.
        block = distances(queries[start : start + step], codes) * np.int64(n) + np.arange(n)
        keys[start : start + step] = np.sort(np.partition(block, k - 1, axis=1)[:, :k], axis=1)
    indices, ranked = keys % max(n, 1), (keys // max(n, 1)).astype(np.int32)
    return (indices[0], ranked[0]) if query.ndim == 1 else (indices, ranked)


def _checked(query: Any, codes: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    query, codes = np.asarray(query), np.asarray(codes)
    for name, array, legal in (("query", query, (1, 2)), ("codes", codes, (2,))):
        if array.dtype != np.uint8:
            raise ValueError(f"{name} is {array.dtype}; packed codes are uint8")
        if array.ndim not in legal:
            shapes = "(bytes,) or (m, bytes)" if name == "query" else "(n, bytes)"
            raise ValueError(f"{name} has the shape {array.shape}; needed is {shapes}")
    if query.shape[-1] != codes.shape[-1]:
        raise ValueError(f"query has {query.shape[-1]} bytes, codes have {codes.shape[-1]}; they must be equally long")
    return query, codes


def _words(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Codes (n, bytes) as 64-bit words, filled up with zeros."""
    n, length = codes.shape
    if length % 8:
        padded = np.zeros((n, -(-length // 8) * 8), np.uint8)
        padded[:, :length] = codes
        codes = padded
    return np.ascontiguousarray(codes).view(np.uint64)
