"""benchmarks/quality/silent_units.py: which hidden channels fire."""

import numpy as np
import pytest
from evaluation_case import Images, photographs
from tiny_run import tiny_model

from benchmarks.quality import silent_units
from benchmarks.quality.silent_units import firing
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.utils.errors import UserError


def test_silenced_channels_are_not_counted():
    model = tiny_model()
    denoiser = Denoiser(model, "tiny")
    before = firing(denoiser, Images(photographs(2)))
    unit = model.body.residual_modules[0].units[0]
    assert before[0] == (unit.filters, unit.filters)
    silent = np.arange(unit.filters) < 5
    unit.conv1.bias.assign(np.asarray(unit.conv1.bias) - 1e6 * silent)
    after = firing(denoiser, Images(photographs(2)))
    assert after[0] == (unit.filters - 5, unit.filters) and len(after) == len(before) == 2


def test_a_network_without_units_is_refused():
    with pytest.raises(UserError, match="ffdnet: expected a network of ResUnits"):
        firing(Denoiser(tiny_model("dncnn"), "ffdnet"), Images(photographs(2)))


def test_the_command_prints_a_row_for_each_model(capsys):
    flags = ["silent_units", "--models=gradnet_tiny,gradnet_tiny_color_real"]
    silent_units.main(silent_units.COMMAND_LINE.parse(flags))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| gradnet_tiny",
        "| gradnet_tiny_color_real",
    ]
    assert all(line.endswith("| 64 |") for line in lines[2:])
