"""A data service in this process, and images whose crops tell where they come from."""

import contextlib
import gc

import numpy as np
import tensorflow as tf

from datasets.sets.catalog import find_dataset
from datasets.shards.shard_writer import prepare
from gradnet_tf.images.image_files import write_image

SERVICE = tf.data.experimental.service
# One image is too small for any crop that the tests take.
IMAGES, SMALL, SIZE = 11, 4, (40, 56)


def prepared_images(folder):
    """Prepares eleven images in four shards; the bytes of a pixel are its row, column and image."""
    for number in range(IMAGES):
        height, width = (12, 56) if number == SMALL else SIZE
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = np.mgrid[:height, :width]
        pixels[..., 2] = number
        write_image(folder / f"{number:02d}.png", pixels)
    return prepare(find_dataset("folder", folder), folder / "prepared", shards=4)


@contextlib.contextmanager
def running_service(workers):
    """Yields the address of a dispatcher with so many workers, all in this process."""
    dispatcher = SERVICE.DispatchServer(SERVICE.DispatcherConfig(port=0))
    address = dispatcher.target.removeprefix("grpc://")
    servers = [SERVICE.WorkerServer(SERVICE.WorkerConfig(address)) for _ in range(workers)]
    try:
        yield dispatcher.target
    finally:
        gc.collect()  # A worker waits for the readers it still has.
        for server in servers:
            server.stop()
        dispatcher.stop()
