"""The noisy PSNR of the real sets is the known one, so images, pairs and noise are the right ones.

No model has a part in this, and the PSNR is NumPy's.
"""

import numpy as np
import pytest

from datasets.sets.catalog import find_dataset
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.sampling import evaluation_noise
from gradnet_tf.images.image_files import to_float


def psnr(first, second):
    return -10 * np.log10(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))


def noisy_psnr(image_set):
    """Returns the PSNR of every really noisy image."""
    return [
        psnr(to_float(image_set.noisy(index)), image_set.clean(index))
        for index in range(len(image_set))
    ]


def test_polyu_is_known_to_be_35_97_db_noisy(data_dir):
    scores = noisy_psnr(find_dataset("polyu", data_dir))
    assert len(scores) == 100
    assert np.mean(scores) == pytest.approx(35.97, abs=0.005)


def test_renoir_is_known_to_be_28_06_db_noisy_and_28_24_without_scene_17(data_dir):
    every = find_dataset("renoir", data_dir, "with_misaligned")
    scores = dict(zip(every.names, noisy_psnr(every), strict=True))
    assert len(scores) == 40
    assert np.mean(list(scores.values())) == pytest.approx(28.06, abs=0.005)
    del scores["batch17.png"]
    assert list(scores) == find_dataset("renoir", data_dir, "all").names
    assert np.mean(list(scores.values())) == pytest.approx(28.24, abs=0.005)


@pytest.mark.parametrize("name", ["cbsd68", "bsd68", "set12"])
def test_unclipped_gaussian_noise_of_25_is_20_17_db(data_dir, name):
    image_set = find_dataset(name, data_dir)
    scores = []
    for index, file in enumerate(image_set.names):
        clean = to_float(image_set.load(index))
        noisy = add_gaussian_noise(clean, evaluation_noise(clean.shape, 0, file), 25)
        scores.append(psnr(noisy, clean))
    assert np.mean(scores) == pytest.approx(20.17, abs=0.02)
    # 20 log10(255 / 25), whatever the images are.
    assert np.ptp(scores) < 0.2


def test_rni15_is_15_images_without_clean_ones(data_dir):
    image_set = find_dataset("rni15", data_dir)
    assert len(image_set) == 15 and not image_set.has_clean
    assert all(image_set.noisy(index).shape[2] == 3 for index in range(15))
