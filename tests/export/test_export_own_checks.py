"""The export's own checks refuse what they exist to refuse: by how much, at which size."""

from types import SimpleNamespace

import numpy as np
import pytest

from export.savedmodel import saved_model_artifact
from export.verify import artifact, checks
from export.verify.formats import TFLiteFormat


def judge(function, precision="float32"):
    """Judges a function of images as a .tflite file of a Keras network that changes nothing."""
    runner = SimpleNamespace(run=function)
    denoiser = SimpleNamespace(channels=3, needs_sigma=False, denoise=lambda images, *_: images)
    return checks.check_tflite("a file", runner, denoiser, TFLiteFormat(precision))


def off_by(amount, where=lambda image: True):
    return lambda images: images + np.float32(amount if where(images) else 0)


def test_a_float32_file_may_differ_by_a_hundred_thousandth():
    assert checks.TOLERANCE == 1e-5
    differences = judge(off_by(5e-6))
    assert max(differences.values()) == pytest.approx(5e-6, rel=0.2)
    with pytest.raises(checks.CheckFailed, match="a file: differs from Keras by 1x1: 2"):
        judge(off_by(2e-5))


def test_pictures_are_compared_that_have_noise_and_leave_the_unit_range():
    image = checks.probe_image(481, 321, 3)
    assert image.min() < -0.1 and image.max() > 1.1
    # Neighbours differ by the noise of σ = 0.1 each, the slope being flat.
    assert np.diff(image, axis=2).std() == pytest.approx(0.1 * np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("size", checks.SIZES)
def test_one_size_that_differs_fails_the_file(size):
    with pytest.raises(checks.CheckFailed, match=f"{size[0]}x{size[1]}: 0.001"):
        judge(off_by(1e-3, lambda images: images.shape[1:3] == size))


@pytest.mark.parametrize(
    ("precision", "least"), [("float16", 70.0), ("dynamic", 35.0), ("int8", 35.0)]
)
def test_a_file_of_fewer_bits_must_agree_with_keras(precision, least):
    def off_by_decibels(agreement):
        return off_by(10 ** (-agreement / 20))

    judge(off_by_decibels(least + 1), precision)
    with pytest.raises(checks.CheckFailed, match=f"expected {least:g} at least"):
        judge(off_by_decibels(least - 1), precision)
    with pytest.raises(checks.CheckFailed, match="nan"):
        judge(lambda images: images * np.nan, precision)


@pytest.mark.parametrize("size", checks.SIZES[1:])
def test_no_picture_makes_up_for_another_that_agrees_less(size):
    off = off_by(10 ** (-34 / 20), lambda images: images.shape[1:3] == size)
    with pytest.raises(checks.CheckFailed, match="agrees with Keras to 34.0 dB"):
        judge(off, "int8")


def test_a_picture_of_one_pixel_does_not_decide_about_8_bits():
    off = off_by(0.3, lambda images: images.shape[1:3] == (1, 1))
    assert judge(off, "int8")["1x1"] == pytest.approx(0.3)


@pytest.fixture
def served(monkeypatch):
    """Stands in for the C++ loader: what a signature gives is decided by a function of images."""

    def serve(function):
        def run(folder, requests, signature="serving_default"):
            signatures = signature if isinstance(signature, list) else [signature] * len(requests)
            outputs = []
            for request, name in zip(requests, signatures, strict=True):
                if name == "encoded":
                    pictures = [
                        checks.decode_png(file)[None] for file in request[checks.INPUT_BYTES]
                    ]
                    made = [to_levels(function(i / np.float32(255), name)) for i in pictures]
                    outputs.append({checks.OUTPUT_BYTES: [checks.encode_png(m[0]) for m in made]})
                elif name == "uint8":
                    images = request[checks.INPUT] / np.float32(255)
                    outputs.append({checks.OUTPUT: to_levels(function(images, name))})
                else:
                    outputs.append({checks.OUTPUT: function(request[checks.INPUT], name)})
            return SimpleNamespace(outputs=outputs)

        for module in (checks, saved_model_artifact):
            monkeypatch.setattr(module, "run_saved_model", run)

    def to_levels(images):
        return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)

    return serve


def clipped(images, *_):
    return np.clip(images, 0, 1)


def test_each_signature_of_a_saved_model_is_judged(served):
    served(clipped)
    assert max(checks.check_saved_model("a folder", clipped, 3).values()) == 0
    # The float signature to 1e-5, those of 8 bits to half a level.
    for name, amount in (("serving_default", 2e-5), ("uint8", 1 / 255), ("encoded", 1 / 255)):

        def function(images, signature, name=name, amount=amount):
            return clipped(images) * (1 - amount * (signature == name))

        served(function)
        with pytest.raises(checks.CheckFailed, match=f"{name}: differs from Keras by"):
            checks.check_saved_model("a folder", clipped, 3)


def test_the_saved_model_in_bfloat16_must_agree_with_keras_in_float32(served, monkeypatch):
    denoiser = SimpleNamespace(
        channels=3, needs_sigma=False, model=None, runner=SimpleNamespace(run=clipped)
    )
    monkeypatch.setattr(saved_model_artifact, "in_bfloat16", lambda model: None)
    offset = 0.0

    def own(images):
        return clipped(images) + np.float32(offset)

    monkeypatch.setattr(saved_model_artifact, "KerasRunner", lambda _: SimpleNamespace(run=own))
    # Stands in for what writes the folder: it only asks the artifact's own judgement.
    monkeypatch.setattr(
        saved_model_artifact, "_write_and_verify", lambda job, name, model, check: check("a folder")
    )
    export = SimpleNamespace(denoiser=denoiser)
    served(clipped)
    saved_model_artifact.export_saved_model_bfloat16(export)
    # As the network in bfloat16 computes it, but not what the one in float32 does: 46 dB.
    offset = 0.005
    served(lambda images, name: own(images))
    with pytest.raises(checks.CheckFailed, match="agrees with Keras in float32 to 46"):
        saved_model_artifact.export_saved_model_bfloat16(export)
    # And the other way round: another function than its own network.
    offset = 0.1
    served(clipped)
    with pytest.raises(checks.CheckFailed, match="differs from Keras"):
        saved_model_artifact.export_saved_model_bfloat16(export)


@pytest.mark.parametrize("psnr", [29.8, float("nan")])
def test_an_artifact_that_loses_quality_is_refused(psnr, monkeypatch):
    monkeypatch.setattr(artifact.measure, "mean_psnr", lambda *_: psnr)
    monkeypatch.setattr(artifact.measure, "mean_agreement", lambda *_: 40.0)

    def with_drop(allowed):
        config = SimpleNamespace(max_psnr_drop=allowed, sigma=25.0, seed=0)
        images = SimpleNamespace(name="two")
        return artifact.Job(config, None, "two", images, 25.0, 30.0, None, None)

    with pytest.raises(checks.CheckFailed, match="a file: loses"):
        artifact.quality_of(with_drop(0.1), SimpleNamespace(name="a file"))
    if psnr == psnr:
        quality = artifact.quality_of(with_drop(0.3), SimpleNamespace(name="a file"))
        assert quality["drop_db"] == pytest.approx(0.2) and quality["agreement_db"] == 40.0
