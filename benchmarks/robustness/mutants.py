r"""Mutation tests: changes one line of the code at a time and checks that a test fails.

Example:
  python -m benchmarks.robustness.mutants            # the whole list, about ten seconds for each
  python -m benchmarks.robustness.mutants skip clip  # those with one of these words in their name
A mutant survives if no test fails; then the exit code is 1. Changes are made in a temporary copy,
not in the working tree. Files are found by their name, in any folder.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# Test files of several mutants.
NETWORK, OBJECTIVE = "test_reference_network.py", "test_training_objective.py"
EXPORT = "test_export_own_checks.py"

# The tests use no pytest plugins, and without them pytest starts in half the time.
QUICK = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


class Mutant(NamedTuple):
    """One change, and the test file that must fail for it.

    Attributes:
        name: the defect that the change introduces.
        file: name of the module, optionally with its folder.
        old: text that occurs once in the module.
        new: replacement.
        tests: name of the test file, optionally with one test in it ("file::test").
    """

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    # The network.
    Mutant(
        "the long skip of MSKResnet is left out",
        "layers/residual.py",
        "output = output + features\n",
        "output = output\n",
        NETWORK,
    ),
    Mutant(
        "no ReLU after a ResUnit's first convolution",
        "layers/residual.py",
        'self.dtype_policy, "relu", "conv1"',
        'self.dtype_policy, None, "conv1"',
        NETWORK,
    ),
    Mutant(
        "second convolutions start at full size",
        "layers/residual.py",
        '"conv2", variance=0.2)',
        '"conv2")',
        NETWORK,
    ),
    Mutant(
        "reconstructions start at full size",
        "models/base.py",
        "VarianceScaling(1e-3)",
        "VarianceScaling(1.0)",
        NETWORK,
    ),
    Mutant(
        "the moving statistics move by a hundredth",
        "conv_norm.py",
        "momentum=0.9,",
        "momentum=0.99,",
        NETWORK,
    ),
    # Training.
    Mutant(
        "the clipped factor is not divided by the number of replicas",
        "engine_tensorflow.py",
        "factor = factor / self.replicas",
        "factor = factor / 1",
        OBJECTIVE + "::test_two_replicas_take_the_same_step_as_one_and_clip_the_same_norm",
    ),
    Mutant(
        "derivatives go through a frozen naive denoiser",
        "gradnet.py",
        "naive = ops.stop_gradient(naive)",
        "pass",
        OBJECTIVE + "::test_no_derivative_goes_through_a_frozen_naive_denoiser",
    ),
    Mutant(
        "derivatives go through a frozen naive denoiser of SKDnCNN",
        "models/skdncnn.py",
        "return naive if self.naive_denoiser.trainable else ops.stop_gradient(naive)",
        "return naive",
        OBJECTIVE + "::test_no_derivative_goes_through_a_frozen_naive_denoiser",
    ),
    Mutant(
        "joint training without the naive denoiser's own loss",
        "objective.py",
        'return loss + (l2_per_image if l2 else l1_per_image)(clean, outputs["naive"])',
        "return loss",
        OBJECTIVE,
    ),
    Mutant(
        "the default λ of the Keras loss",
        "losses.py",
        "gradient_loss_weight: float = 0.1,",
        "gradient_loss_weight: float = 0.2,",
        OBJECTIVE,
    ),
    Mutant(
        "the default λ of the loss of each image",
        "losses.py",
        "def gradnet_loss_per_image(clean, denoised, gradient_loss_weight=0.1,",
        "def gradnet_loss_per_image(clean, denoised, gradient_loss_weight=0.0,",
        OBJECTIVE,
    ),
    Mutant(
        "the default λ of train.py",
        "training/config.py",
        "gradient_loss_weight: float = 0.1",
        "gradient_loss_weight: float = 0.01",
        OBJECTIVE,
    ),
    Mutant(
        "validation scores values outside [0, 1]",
        "training/validation.py",
        "(np.clip(image, 0, 1) - clean)",
        "(image - clean)",
        OBJECTIVE,
    ),
    Mutant(
        "one skipped step fewer than nan_limit ends the run",
        "training/stage.py",
        "self._skipped_in_a_row > self.config.nan_limit",
        "self._skipped_in_a_row >= self.config.nan_limit",
        "test_training_nan_limit.py",
    ),
    Mutant(
        "one skipped step more than nan_limit is accepted",
        "training/stage.py",
        "self._skipped_in_a_row > self.config.nan_limit",
        "self._skipped_in_a_row > self.config.nan_limit + 1",
        "test_training_nan_limit.py",
    ),
    # Scores, files and studies.
    Mutant(
        "σ is recorded for real noise",
        "evaluation/evaluate_set.py",
        '"sigma": None if real_noise else config.sigma',
        '"sigma": config.sigma',
        "test_evaluation_real_noise.py",
    ),
    Mutant(
        "the last image alone decides whether noise is real",
        "evaluation/evaluate_set.py",
        "real_noise = real_noise or scored.real_noise",
        "real_noise = scored.real_noise",
        "test_evaluation_real_noise.py",
    ),
    Mutant(
        "the denoiser gets σ for real noise",
        "evaluation/evaluate_set.py",
        "sigma = config.sigma if real is None else None",
        "sigma = config.sigma",
        "test_evaluation_real_noise.py",
    ),
    Mutant(
        "SIDD's time is that of all blocks",
        "datasets/commands/submission.py",
        "seconds * _MEGAPIXEL / pixels",
        "seconds",
        "test_datasets_submission_time.py",
    ),
    Mutant(
        "SIDD's megapixel is a million",
        "datasets/commands/submission.py",
        "_MEGAPIXEL = 1024 * 1024",
        "_MEGAPIXEL = 1_000_000",
        "test_datasets_submission_time.py",
    ),
    Mutant(
        "PNG chunks of the mode stay after a change of mode",
        "images/png.py",
        "        return same_mode",
        "        return True",
        "test_photos_png_mode.py",
    ),
    Mutant(
        "PNG chunks of the mode always go",
        "images/png.py",
        "        return same_mode",
        "        return False",
        "test_photos_png_mode.py",
    ),
    Mutant(
        "the study's ψ has no batch normalisation",
        "experiments/fusion_study.py",
        "batch_norm=True",
        "batch_norm=False",
        "test_experiments_full_form.py",
    ),
    Mutant(
        "the study's full form has 17 layers",
        "experiments/fusion_study.py",
        '{"num_layers": 20, "filters": 64}',
        '{"num_layers": 17, "filters": 64}',
        "test_experiments_full_form.py",
    ),
    # The export's own checks.
    Mutant(
        "a float32 artifact may differ by a hundredth",
        "export/verify/checks.py",
        "TOLERANCE = 1e-5",
        "TOLERANCE = 1e-2",
        EXPORT,
    ),
    Mutant(
        "one size that agrees is enough",
        "export/verify/checks.py",
        "if not all(value <= tolerance",
        "if not any(value <= tolerance",
        EXPORT,
    ),
    Mutant(
        "files of fewer bits need not agree with Keras",
        "export/verify/checks.py",
        "if not agreement >= least:",
        "if False:",
        EXPORT,
    ),
    Mutant(
        "the bfloat16 artifact need not agree with Keras in float32",
        "export/savedmodel/saved_model_artifact.py",
        "return check_agreement(folder, denoiser.runner.run, channels, needs_sigma)",
        "return {}",
        EXPORT,
    ),
    Mutant(
        "an artifact may lose any quality",
        "export/verify/artifact.py",
        "if not drop <= config.max_psnr_drop:",
        "if False:",
        EXPORT,
    ),
    # Tiles and numbers of a picture.
    Mutant(
        "tiles whose margin lacks the gradient's pixel",
        "models/gradnet.py",
        "self.in_pixels(fused) + naive + 1,",
        "self.in_pixels(fused) + naive,",
        "test_denoiser.py::test_the_receptive_radius_bounds_what_a_pixel_changes",
    ),
    Mutant(
        "tiles whose margin lacks the fusions' pixels",
        "layers/residual.py",
        "self.num_modules * (2 * self.num_units + 1)",
        "self.num_modules * 2 * self.num_units",
        "test_tiles.py::test_tiles_of_any_size_agree_with_the_whole",
    ),
    Mutant(
        "the budget forgets the copies of the picture",
        "tiler.py",
        "fixed = start + _COPIES * size",
        "fixed = start",
        "test_tiles.py::test_the_budget_chooses_the_tile",
    ),
    Mutant(
        "a denoiser writes into its input",
        "gradnet_tf/denoiser.py",
        "result = picture.copy()",
        "result = picture",
        "test_pictures.py::test_shape_and_dtype_stay_and_alpha_is_untouched",
    ),
    Mutant(
        "floats far below 0 are taken",
        "gradnet_tf/denoiser.py",
        "if not -_MOST <= low <= high <= _MOST:",
        "if not low <= high <= _MOST:",
        "test_pictures.py::test_floats_on_another_scale_are_refused",
    ),
    # The network and its training, more of it.
    Mutant(
        "the gradient is that of a clipped estimate",
        "models/gradnet.py",
        "gradient = self.sobel(naive)  #",
        "gradient = self.sobel(ops.clip(naive, 0, 1))  #",
        "test_models.py::test_output_depends_on_y_on_the_naive_estimate_and_on_its_gradient",
    ),
    Mutant(
        "the ε of batch normalisation is Keras' own",
        "conv_norm.py",
        "EPSILON = 1e-5",
        "EPSILON = 1e-3",
        NETWORK + "::test_dncnn",
    ),
    Mutant(
        "CBDNet's noise level starts at 0",
        "cbdnet.py",
        "keras.initializers.Constant(_INITIAL_LEVEL)",
        "keras.initializers.Constant(0.0)",
        "test_models_cbdnet.py::test_the_noise_level_starts_above_zero_where_its_relu_passes_gradients",
    ),
    Mutant(
        "a finite loss hides gradients that are not finite",
        "engine_tensorflow.py",
        "tf.math.is_finite(loss) & (expected | tf.math.is_finite(norm))",
        "tf.math.is_finite(loss)",
        "test_training_engine.py::test_gradients_that_are_not_finite_are_reported_with_a_finite_loss",
    ),
    Mutant(
        "a skipped step leaves its batch in the moving statistics",
        "engine_tensorflow.py",
        "        if moving:\n",
        "        if False:\n",
        "test_training_peers.py::test_statistics_move_in_training_and_stay_in_a_skipped_step",
    ),
    Mutant(
        "averages of weights begin with the decay of a long run",
        "schedules.py",
        "return min(decay, (1 + step) / (10 + step))",
        "return decay",
        "test_training_loop.py::test_averages_are_what_is_validated_and_kept_as_best",
    ),
    Mutant(
        "Muon takes kernels with more outputs than inputs",
        "optimizers.py",
        "or shape[3] > math.prod(shape[:3])",
        "or False",
        "test_training_muon.py::test_a_kernel_with_more_outputs_than_rows_is_adams",
    ),
    Mutant(
        "a good step does not end a row of skipped ones",
        "training/stage.py",
        "            self._skipped_in_a_row = 0\n            return",
        "            return",
        "test_training_nan_limit.py",
    ),
    # Noise and scores.
    Mutant(
        "photons of negative light",
        "degradations/sensor.py",
        "draws.poisson(np.maximum(clean, 0) / shot)",
        "draws.poisson(clean / shot)",
        "test_degradations_models.py",
    ),
    Mutant(
        "the variance of negative light",
        "degradations/sensor.py",
        "shot * np.maximum(light, 0) +",
        "shot * light +",
        "test_degradations_models.py::test_below_zero_light_has_read_noise_alone",
    ),
    Mutant(
        "the mosaic is mirrored about its edge",
        "degradations/camera.py",
        "borderType=cv2.BORDER_REFLECT_101",
        "borderType=cv2.BORDER_REFLECT",
        "test_degradations_models.py",
    ),
    Mutant(
        "no SSIM of an image as large as its window",
        "evaluation/scores.py",
        "min(clean.shape[:2]) < _SSIM_WINDOW",
        "min(clean.shape[:2]) <= _SSIM_WINDOW",
        "test_evaluation.py",
    ),
    Mutant(
        "the noisy image is clipped before it is scored",
        "evaluation/scores.py",
        '"psnr_noisy": _psnr(clean, example.noisy)',
        '"psnr_noisy": _psnr(clean, np.clip(example.noisy, 0, 1))',
        "test_evaluation.py",
    ),
    # The export's own checks, more of them.
    Mutant(
        "the uint8 signature may be a level and a half off",
        "export/verify/checks.py",
        "rounded = 0.5 / 255 + tolerance",
        "rounded = 1.5 / 255 + tolerance",
        EXPORT,
    ),
    Mutant(
        "exports are compared on pictures without noise",
        "export/verify/checks.py",
        ".normal(0, 0.1, slope.shape)",
        ".normal(0, 0.0, slope.shape)",
        EXPORT,
    ),
)


def find_module(root: Path, name: str) -> Path:
    """Returns the one file of that name (and folder) below `root`.

    Raises:
        SystemExit: there is no such file, or more than one.
    """
    found = [path for path in root.rglob(Path(name).name) if path.as_posix().endswith("/" + name)]
    if len(found) != 1:
        raise SystemExit(f"{name}: expected one file of that name. Found: {len(found)}")
    return found[0]


def apply(root: Path, mutant: Mutant) -> tuple[Path, str]:
    """Changes the file below `root`; returns it and its text before.

    Raises:
        SystemExit: the text does not occur exactly once in the file.
    """
    path = find_module(root, mutant.file)
    text = path.read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(
            f"{mutant.file}: expected once {mutant.old!r}. Found: {text.count(mutant.old)} times.\n"
            f"Correct the entry {mutant.name!r} in {Path(__file__).name}."
        )
    path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    return path, text


def some_fail(root: Path, tests: str) -> bool:
    """Runs a test file, or "file::test", of the copy at `root`; returns whether one fails.

    Raises:
        SystemExit: pytest could not run the tests.
    """
    file, _, test = tests.partition("::")
    path = str(find_module(root / "tests", file)) + (f"::{test}" if test else "")
    environment = {**os.environ, "PYTHONPATH": str(root), **QUICK}
    command = [sys.executable, "-m", "pytest", path, "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    # pytest: 0 all passed, 1 some failed; other codes mean that it could not run them.
    if done.returncode not in (0, 1):
        raise SystemExit(f"{tests}: pytest ends with {done.returncode}\n{done.stdout}")
    return done.returncode == 1


def copy_tree(root: Path) -> None:
    """Copies the tracked files of the working tree, and new files that git does not ignore."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)


def main(words: list[str], mutants: tuple[Mutant, ...] = MUTANTS) -> int:
    """Tests the mutants with one of the words in their name; returns the exit code."""
    chosen = [m for m in mutants if not words or any(word in m.name for word in words)]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_tree(root)
        for mutant in chosen:
            # Apply all once first, so that mistakes in the list show immediately.
            path, before = apply(root, mutant)
            path.write_text(before, "utf-8")
        for tests in dict.fromkeys(mutant.tests for mutant in chosen):
            # Tests that fail without a change would count every mutant as killed.
            if some_fail(root, tests):
                raise SystemExit(f"{tests}: fails without any change.")
        for mutant in chosen:
            path, before = apply(root, mutant)
            try:
                killed = some_fail(root, mutant.tests)
            finally:
                path.write_text(before, "utf-8")
            survivors += not killed
            print(
                f"{'killed' if killed else 'SURVIVES':<9} {mutant.name} ({mutant.file})", flush=True
            )
    print(f"{survivors} of {len(chosen)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
