r"""Which strength h OpenCV's non-local means should have for a noise level: a table of PSNR.

Example:
  python -m benchmarks.nlm_strength --split=train --crop=256
Rows are noise levels, columns h / σ, over the photographs of the sample set (or --dataset).
`gradnet_tf.classical.NLM_STRENGTH` holds what it found; docs/decisions.md has the table.
"""

from absl import flags

from gradnet_tf.command import run_script

FLAGS = flags.FLAGS
FACTORS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
SIGMAS = (15, 25, 50)

flags.DEFINE_string("dataset", "sample", "photographs to measure on")
flags.DEFINE_string("data_dir", None, "folder that holds the data set, or the set's parent")
flags.DEFINE_string("split", "train", "split of the set; the test split is not for choosing")
flags.DEFINE_integer("max_images", None, "take the first so many images in byte order")
flags.DEFINE_integer("crop", 256, "side of the centre that is taken of each")
flags.DEFINE_integer("seed", 0, "seed of the noise")


def mean_psnr(pairs, sigma: float, factor: float) -> float:
    """Returns the mean PSNR in dB of non-local means with h = factor · σ.

    Args:
        pairs: (noisy, clean) float32 H×W×C.
        sigma: their noise level, 0-255 scale.
        factor: tried in the place of `NLM_STRENGTH`.
    """
    import numpy as np

    from gradnet_tf import classical

    kept = dict(classical.NLM_STRENGTH)
    try:
        classical.NLM_STRENGTH.update(dict.fromkeys(kept, factor))
        denoise = classical.classical_denoiser("opencv_nlm")
        errors = [np.mean((denoise(noisy[None], sigma)[0] - clean) ** 2) for noisy, clean in pairs]
    finally:
        classical.NLM_STRENGTH.update(kept)
    return float(np.mean(-10 * np.log10(errors)))


def main() -> None:
    """Prints a table for colour and one for grey."""
    from datasets.batches import validation_pairs
    from datasets.resolve import find_dataset

    for channels in (3, 1):
        images = find_dataset(
            FLAGS.dataset, FLAGS.data_dir, FLAGS.split, FLAGS.max_images, channels
        )
        print(f"{'colour' if channels == 3 else 'grey'}, {len(images)} images of {images.name}")
        print("sigma  " + "  ".join(f"h={factor:.1f}σ" for factor in FACTORS))
        for sigma in SIGMAS:
            pairs = validation_pairs(images, sigma, FLAGS.seed, FLAGS.crop)
            row = [mean_psnr(pairs, sigma, factor) for factor in FACTORS]
            print(f"{sigma:5}  " + "  ".join(f"{value:6.2f}" for value in row), flush=True)


if __name__ == "__main__":
    run_script(main, __doc__)
