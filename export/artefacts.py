"""What each value of `--formats` writes."""

from export.formats import BFLOAT16, SAVED_MODEL, parse_tflite
from export.job import Job, Row
from export.litert.artefact_tflite import export_tflite
from export.savedmodel.artefact_bfloat16 import export_saved_model_bfloat16
from export.savedmodel.artefact_saved_model import export_saved_model


def export_format(job: Job, format: str) -> Row:
    """Writes and judges one artefact, and puts it in its place with its card.

    Args:
        job: what it is made from.
        format: a value of `--formats`.

    Raises:
        CheckFailed, LoaderError: it is not what it should be; what was at its place stays.
    """
    if format == SAVED_MODEL:
        return export_saved_model(job)
    if format == BFLOAT16:
        return export_saved_model_bfloat16(job)
    return export_tflite(job, parse_tflite(format))
