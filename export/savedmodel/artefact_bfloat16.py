"""The SavedModel in bfloat16: several times as fast on CPUs with AMX, for a little rounding.

The layers compute in bfloat16, the image and the sum stay float32, and so do
the variables; inputs and outputs are those of the float32 SavedModel.
"""

import numpy as np

from export.job import Job, Row
from export.savedmodel.artefact_saved_model import write_and_judge
from export.savedmodel.saved_model import INPUT, OUTPUT
from export.verify import checks
from export.verify.cpp_loader import run_saved_model
from gradnet_tf.runtimes.keras_file import describe, rebuild
from gradnet_tf.runtimes.keras_runtime import KerasRunner

PRECISION = "mixed_bfloat16"
#: Least agreement with Keras in float32, as PSNR in dB. Measured: 53 to 61 for networks that
#: compute a residual; FFDNet's last layer gives the image itself in bfloat16, and has 45.
LEAST_AGREEMENT = 50.0
#: Largest difference from Keras in bfloat16. Measured: none for floats; 8-bit input differs in
#: the last bit of float32, and so is rounded to another bfloat16 here and there.
TOLERANCE = 2 / 255


def export_saved_model_bfloat16(job: Job) -> Row:
    """Writes OUTPUT/saved_model_bfloat16/VERSION and its card OUTPUT/saved_model_bfloat16.json.

    Raises:
        CheckFailed, LoaderError: it is not what Keras computes; what was at the
            place before stays.
    """
    denoiser = job.denoiser
    model = in_bfloat16(denoiser.model)
    own = KerasRunner(model)

    def check(folder):
        channels, needs_sigma = denoiser.channels, denoiser.needs_sigma
        checks.check_saved_model(folder, own.run, channels, needs_sigma, TOLERANCE)
        return check_agreement(folder, denoiser.runner.run, channels, needs_sigma)

    return write_and_judge(job, "saved_model_bfloat16", model, check)


def in_bfloat16(model):
    """Returns a copy of one of our models whose layers compute in bfloat16."""
    copy = rebuild(describe(model), PRECISION, model.name)
    copy.set_weights(model.get_weights())
    return copy


def check_agreement(folder, expected, channels: int, needs_sigma: bool) -> dict[str, float]:
    """Compares the float signature with Keras in float32.

    Returns:
        Largest difference on the [0, 1] scale by size.

    Raises:
        CheckFailed: less agreement than `LEAST_AGREEMENT` over all images.
    """
    more = checks.probe_sigma(needs_sigma, 1)
    images = [checks.probe_image(*size, channels) for size in checks.SIZES]
    result = run_saved_model(folder, [{INPUT: image, **more} for image in images])
    differences, errors = {}, []
    for image, outputs in zip(images, result.outputs, strict=True):
        error = np.abs(outputs[OUTPUT] - expected(image, *more.values()))
        differences[f"{image.shape[1]}x{image.shape[2]}"] = float(error.max())
        errors.append(np.square(error).ravel())
    agreement = -10 * np.log10(max(np.mean(np.concatenate(errors)), 1e-20))
    if not agreement >= LEAST_AGREEMENT:
        raise checks.CheckFailed(
            f"serving_default: agrees with Keras in float32 to {agreement:.1f} dB "
            f"(at least {LEAST_AGREEMENT:g} dB expected)"
        )
    return differences
