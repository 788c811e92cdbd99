"""Stand-ins for tests of evaluation and reports: image sets in memory and simple denoisers."""

import cv2
import numpy as np


class Images:
    """An image set in memory: `images` maps names to uint8 H×W×C."""

    def __init__(self, images, noisy=None, name="made", split="test"):
        self.name, self.split = name, split
        self.names = list(images)
        self.available = None
        self._images, self._noisy = images, noisy or {}
        self.channels = next(iter(images.values())).shape[-1] if images else 3

    def load(self, index):
        return self._images[self.names[index]]

    def noisy(self, index):
        return self._noisy.get(self.names[index])


class Fake:
    """A denoiser made of a function of one image; remembers what it was given."""

    parameters = 1234
    needs_sigma = False

    def __init__(self, function=lambda image: image, naive=None, channels=3, name="fake"):
        self.name, self.channels = name, channels
        self.source = {"kind": "fake", "path": None, "sha256": "ab" * 32}
        self._function, self._naive = function, naive
        self.given, self.sigmas = [], []

    def denoise(self, images, sigma=None):
        self.given.append(np.array(images))
        self.sigmas.append(sigma)
        return np.stack([self._function(image) for image in images])

    def naive(self, images):
        return None if self._naive is None else np.stack([self._naive(image) for image in images])


def blur(image, sigma=1.2):
    """A weak denoiser."""
    return cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape)


def photographs(count=3, height=40, width=56, channels=3):
    """Smooth random pictures, uint8, named a.png, b.png, …"""
    generator = np.random.default_rng(5)
    images = {}
    for position in range(count):
        rough = generator.uniform(0, 255, (8, 8, channels)).astype(np.float32)
        smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
        smooth = smooth.reshape(height, width, channels)
        images[f"{chr(97 + position)}.png"] = np.clip(smooth, 0, 255).astype(np.uint8)
    return images
