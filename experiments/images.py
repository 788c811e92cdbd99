"""What a study trains on and what it is scored on."""

import numpy as np

from datasets.batches import PipelineConfig
from datasets.image_set import ImageSet
from gradnet_tf.errors import UserError
from gradnet_tf.evaluation import EvaluateConfig, clean_image, noisy_input

# All runs of a study are scored under the same noise.
_NOISE_SEED = 0


class KeptImages:
    """An image set that is decoded once for all runs; see `ImageSet` for its members."""

    def __init__(self, image_set: ImageSet):
        """Args:
        image_set: read when an image is first asked for.
        """
        self._set = image_set
        self._kept: dict = {}
        self.name, self.split, self.names = image_set.name, image_set.split, image_set.names
        self.paths, self.channels = image_set.paths, image_set.channels

    def __len__(self) -> int:
        return len(self._set)

    def _keep(self, kind: str, index: int):
        if (kind, index) not in self._kept:
            self._kept[kind, index] = getattr(self._set, kind)(index)
        return self._kept[kind, index]

    def load(self, index: int) -> np.ndarray:
        """Returns the clean image, uint8 (H, W, C)."""
        return self._keep("load", index)

    def clean(self, index: int) -> np.ndarray:
        """Returns what is scored against, float32 (H, W, C) in [0, 1]."""
        return self._keep("clean", index)

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the really noisy partner, if there is one."""
        return self._keep("noisy", index)

    def image_sizes(self) -> list[tuple[int, int]]:
        """Returns the height and width of each image."""
        return [self.load(index).shape[:2] for index in range(len(self))]


def scored_pairs(
    image_set, sigma: float | None, crop: int
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Returns what is scored: (name, noisy, clean), float32 (H, W, C), not clipped.

    The noise is `evaluate.py`'s with seed 0, drawn for the whole image and cut with it.

    Args:
        image_set: the test images.
        sigma: noise level on the 0-255 scale; `None` for sets with real noise.
        crop: the centre of the image is taken, at most so many pixels a side; 0 for all of it.
    """
    config = EvaluateConfig(dataset=image_set.name, sigma=sigma, seed=_NOISE_SEED)
    pairs = []
    for index, name in enumerate(image_set.names):
        clean = clean_image(image_set, index)
        noisy = noisy_input(clean, image_set.noisy(index), name, config)
        height, width = (min(crop, side) if crop else side for side in clean.shape[:2])
        top, left = (clean.shape[0] - height) // 2, (clean.shape[1] - width) // 2
        rows, columns = slice(top, top + height), slice(left, left + width)
        pairs.append((name, noisy[rows, columns], clean[rows, columns]))
    return pairs


def training_batches(images: KeptImages, config, clean_as_guide: bool, start_step: int = 0):
    """Returns the engine's batches of a run.

    Args:
        images: what to train on.
        config: the run's `TrainConfig`.
        clean_as_guide: the clean crop follows the noisy one in the input's channels.
        start_step: first batch.

    Raises:
        UserError: on another backend than TensorFlow, whose pipeline this is.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"the studies train on TensorFlow.\nReceived: KERAS_BACKEND={keras.backend.backend()}"
        )
    from datasets.pipeline import training_dataset

    names = "channels batch_size crop_size sigma_min sigma_max seed workers".split()
    names += "crop_candidates color_jitter frame_share".split()
    fields = {name: getattr(config, name) for name in names}
    dataset = training_dataset(images, PipelineConfig(**fields, start_step=start_step))
    if not clean_as_guide:
        return dataset
    concatenate = keras.ops.concatenate
    return dataset.map(lambda noisy, clean: (concatenate([noisy, clean], -1), clean))
