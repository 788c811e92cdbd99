"""Decoded images in memory, up to a limit."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np


class ImageStore:
    """Decoded images, kept up to a number of bytes; safe for several threads."""

    def __init__(self, load: Callable, indices: list[int], memory_limit: int):
        self._load = load
        self._indices = indices
        self._memory_limit = memory_limit
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, position: int) -> np.ndarray:
        """Returns image number `position` of `indices`, uint8 [H, W, C]."""
        with self._lock:
            image = self._kept.get(position)
            if image is not None:
                self._kept.move_to_end(position)
                return image
        image = self._load(self._indices[position])
        self.put(position, image)
        return image

    def put(self, position: int, image: np.ndarray) -> None:
        """Stores an image and evicts the least recently used ones, down to the limit."""
        with self._lock:
            if position in self._kept:
                return
            self._kept[position] = image
            self._bytes += image.nbytes
            while self._bytes > self._memory_limit and self._kept:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes
