"""Noise levels of a command line."""

from gradnet_tf.training.config import require_sigma
from gradnet_tf.utils.errors import UserError


def parse_sigmas(texts: list[str]) -> list[float]:
    """Returns noise levels in ascending order, each once.

    Raises:
        UserError: for one that is no number in [0, 255], or none at all.
    """
    try:
        sigmas = sorted({float(text) for text in texts})
    except ValueError:
        sigmas = []
    if not sigmas:
        raise UserError(f"`sigmas` must be numbers, as 15,25,50. Received: {','.join(texts)}")
    for sigma in sigmas:
        require_sigma("sigmas", sigma)
    return sigmas
