"""benchmarks/quality/survey_effect.py: the same images with and without the survey."""

import numpy as np
import pytest
from evaluation_case import Images, photographs
from tiny_run import tiny_model

from benchmarks.quality import nlm_strength, survey_effect
from benchmarks.quality.survey_effect import effect
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.utils.errors import UserError


def test_only_pictures_that_the_survey_singles_out_differ():
    images = photographs(2)
    drawing = np.full((64, 64, 3), 255, np.uint8)
    drawing[20:24, 10:50] = 0
    images["drawing.png"] = drawing
    denoiser = Denoiser(tiny_model(), "tiny")
    found = effect(denoiser, Images(images), 0.0, None)
    # The drawing comes back as it is.
    assert found["images"] == 3 and found["changed"] == 1
    assert found["with"] > found["without"]
    assert denoiser.averages_picture


def test_added_noise_leaves_nothing_to_single_out():
    found = effect(Denoiser(tiny_model(), "tiny"), Images(photographs(2)), 25.0, None)
    assert found["changed"] == 0 and found["with"] == pytest.approx(found["without"])


def test_real_noise_has_no_level(scenes):
    for command, flags in (
        (survey_effect, ["--sets=renoir:25"]),
        (nlm_strength, ["--dataset=renoir", "--split=validation"]),
    ):
        given = command.COMMAND_LINE.parse(["command", *flags, f"--data_dir={scenes}"])
        with pytest.raises(UserError, match="renoir has real noise"):
            command.main(given)
