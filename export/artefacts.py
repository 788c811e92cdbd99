"""What each value of `--formats` writes."""

from collections.abc import Callable

from export.artefact_bfloat16 import export_saved_model_bfloat16
from export.artefact_saved_model import export_saved_model
from export.artefact_tflite import export_tflite_float32
from export.job import Job, Row

#: By format: a function that writes, judges and puts the artefact in its place.
EXPORTERS: dict[str, Callable[[Job], Row]] = {
    "saved_model": export_saved_model,
    "saved_model_bfloat16": export_saved_model_bfloat16,
    "tflite_float32": export_tflite_float32,
}
