"""What a reader of an answer must know besides, on stderr."""

from __future__ import annotations

import radretrieval as rr
from radretrieval.cli.common import tell


def tell_answer(answer: rr.Answer) -> None:
    """What a reader of the answer must know besides."""
    if answer.query_flat:
        tell(
            "the query is flat: nearly all its pixels have one grey value, and its hits mean nothing; look at the image"
        )
    for message in answer.query_problems:
        tell(f"the query: {message}")
    if answer.similarity is not None and answer.similarity.nothing:
        from radretrieval.report.likelihood import nothing_similar

        tell(nothing_similar(answer.similarity, answer.effect is not None))
    if answer.request.refined:
        judged = f"{len(answer.request.relevant)} relevant and {len(answer.request.not_relevant)} not relevant images"
        tell(f"the answer is refined by {judged}: its order is not that of the distances, and it has no probabilities")
    for hit in answer.hits:
        if hit.roi_error:
            tell(f"no ROI in image {hit.image_id}: its file {hit.roi_error}")
        elif hit.reduced:
            tell(f"the ROI in image {hit.image_id} is of a reduced copy: its file {hit.reduced}")
    effect = answer.effect
    if effect is not None:
        hidden = f"{effect.hidden}{' or more' if effect.more_hidden else ''}"
        nearer = f"; nearer ones that it hid: {hidden}" if effect.hidden else ""
        tell(f"images that pass the filter: {effect.matched}{' or more' if effect.more_matched else ''}{nearer}")
    if answer.path == "hnsw":
        tell_recall(answer.recall)
    if answer.returned < answer.requested:
        waiting = f"; {answer.pending} images have no code yet (radretrieval work --once)" if answer.pending else ""
        limits = {"--max-distance": answer.request.max_distance, "--one-per": answer.request.one_per}
        set_here = ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None)
        filtered = " that pass the filter" if effect is not None else ""
        filtered += f" within {set_here}" if set_here else ""
        whose = "sites that answered have" if answer.path == "federated" else "archive has"
        tell(f"{answer.returned} of {answer.requested} hits: the {whose} no more coded images{filtered}{waiting}")


def tell_recall(recall: tuple[float, float] | None) -> None:
    """That candidates are of an approximate index, and what is known of it."""
    measured = "never measured: radretrieval index audit"
    if recall is not None:
        measured = f"last measured to find {recall[0]:.1%} of the true nearest, {recall[1]:.1%} at worst"
    tell(f"the candidates are of an approximate index (HNSW), {measured}")
