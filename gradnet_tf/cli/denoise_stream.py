"""Denoises a photograph from standard input to standard output."""

from collections.abc import Callable
from typing import BinaryIO

from gradnet_tf.cli.denoise_options import Denoise, FileOptions
from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import EXIT_OK


def denoise_stream(
    source: BinaryIO, target: BinaryIO, load: Callable[[], Denoise], options: FileOptions
) -> int:
    """Denoises one photograph from a stream to a stream, in its own format.

    Raises:
        UserError: the input is no readable photograph.
    """
    photo = decode_photo(source.read(), "standard input", options.max_megapixels)
    data = photo.encoded
    if not options.changes_nothing:
        data = encode_photo(photo.with_pixels(load()(photo.pixels)), options.quality)
    target.write(data)
    target.flush()
    return EXIT_OK
