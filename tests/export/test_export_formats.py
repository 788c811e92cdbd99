"""The values of --formats: what is a TFLite format, and which tiles there are."""

import pytest

from export.export_config import ExportConfig
from export.verify.formats import TFLiteFormat, parse_tflite
from gradnet_tf.utils.errors import UserError


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8"])
def test_a_format_is_read_and_called_by_its_name(precision):
    for tile, text in ((None, f"tflite_{precision}"), (96, f"tflite_{precision}_tile96")):
        found = parse_tflite(text)
        assert found == TFLiteFormat(precision, tile) and found.name == text
        assert text == f"tflite_{found.suffix}"
        assert ExportConfig(output="o", formats=(text,)).formats == (text,)


@pytest.mark.parametrize("text", ["saved_model", "tflite", "tflite_int4", "tflite_int8_tile", "x"])
def test_what_is_none(text):
    assert parse_tflite(text) is None


@pytest.mark.parametrize("side", [0, 16, 30, 258, 4096])
def test_tiles_of_other_sizes_are_refused(side):
    with pytest.raises(UserError, match="from 32 to 2048, a multiple of 4"):
        ExportConfig(output="o", formats=(f"tflite_int8_tile{side}",))


@pytest.mark.parametrize("drop", [-0.1, float("nan")])
def test_a_gate_that_nothing_passes_is_refused(drop):
    with pytest.raises(UserError, match="--max_psnr_drop: expected a number of decibels from 0"):
        ExportConfig(output="o", max_psnr_drop=drop)
