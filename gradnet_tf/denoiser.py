"""The one object through which everything denoises: arrays in, arrays out."""

import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from gradnet_tf.degradations.noise_level import estimate_and_tell, estimate_sigma
from gradnet_tf.grey import grey_partner
from gradnet_tf.pictures import Strength, denoise_picture
from gradnet_tf.tiling.tile_config import AUTO, TileConfig
from gradnet_tf.tiling.tiled import run_whole
from gradnet_tf.tiling.tiles import FLOATS, OnTile, PixelFormat
from gradnet_tf.utils.errors import UserError

#: What `Denoiser.source` holds; missing values are `None`.
_FACTS = ("kind", "path", "preset", "sha256", "run", "trained_sigma", "runtime")


class Runner(Protocol):
    """What runs a network: Keras, a SavedModel or a TFLite interpreter (`gradnet_tf.runtimes`).

    One that can run tiles also has `run_picture`, as `KerasRunner`.
    """

    channels: int | None
    needs_sigma: bool
    parameters: int | None
    model: Any

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Maps float32 (N, H, W, C) to the denoised images of the same shape.

        With `needs_sigma`, `sigma` is float32 (N,) on the 0-255 scale, else `None`.
        """

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray | None:
        """Returns the naive estimate, or `None` where the network has none."""


class Denoiser:
    """Maps noisy images to denoised images of the same shape, at any height and width from 1 up.

    Args:
        model: a name or a path, as `gradnet_tf.loading.load.load_denoiser` takes it (with
            the runtime "auto"), or what runs a network already; see `Runner`.
        name: what reports and folders call it, such as "gradnet_small_color_blind";
            given with a `Runner`, known where a model is named.
        source: where it came from: `kind`, `path`, `preset`, `sha256`, `run`,
            `trained_sigma`, the lowest and the highest noise level of its training, and
            `runtime`, "litert" for weights that ship and run there (missing values are
            `None`); given or known like `name`.

    Attributes:
        channels: 3 (RGB) or 1 (grey), what `denoise` takes; `None` where it takes both.
        needs_sigma: whether the network wants the noise level.
        model: the Keras model, or `None` (SavedModel, TFLite).
        parameters: number of weights, or `None` where the file does not tell.

    Raises:
        UserError: `model` names nothing that denoises.

    Example:

    >>> denoiser = Denoiser("gradnet_tiny")
    >>> denoised = denoiser(photograph)  # uint8, uint16 or float; the same out
    """

    def __init__(
        self,
        model: str | os.PathLike | Runner = "default",
        name: str = "denoiser",
        source: Mapping[str, Any] | None = None,
    ):
        if isinstance(model, str | os.PathLike):
            from gradnet_tf.loading.load import load_denoiser

            found = load_denoiser(os.fspath(model), runtime="auto")
            model, name, source = found.runner, found.name, found.source
        self.runner = model
        self.name = name
        blank = dict.fromkeys(_FACTS)
        self.source = {**blank, **(source or {})}
        self._for_grey: Denoiser | None = None

    @property
    def channels(self) -> int | None:
        """Channels of the images that `denoise` takes; `None` for 1 and 3."""
        return self.runner.channels

    @property
    def needs_sigma(self) -> bool:
        """Whether the network wants the noise level as a second input."""
        return self.runner.needs_sigma

    @property
    def model(self):
        """The Keras model behind it, if there is one."""
        return self.runner.model

    @property
    def parameters(self) -> int | None:
        """Number of weights, if known."""
        return self.runner.parameters

    def denoise(
        self, images: np.ndarray, sigma: float | None = None, tiles: TileConfig | None = None
    ) -> np.ndarray:
        """Denoises a batch.

        Args:
            images: (N, H, W, C), float, nominal range [0, 1] (noise may leave it),
                C = `channels`.
            sigma: noise level on the 0-255 scale, of all images or (N,); unused
                by blind models. Where the network needs it and none is given, it is
                estimated, and printed for each image.
            tiles: how images are cut. By default each is run whole, and the attention
                averages over all of it at any size.

        Returns:
            float32, shaped like `images`, clipped to [0, 1].

        Raises:
            UserError: `images` has another shape or dtype, σ is outside [0, 255], or the
                network cannot run in such tiles.
        """
        images = self._checked(images)
        if images.size == 0:
            return images
        sigma = self._levels(images, sigma, lambda image: estimate_and_tell(image, self.name))
        if tiles is not None:
            levels = [None if sigma is None else sigma[i : i + 1] for i in range(len(images))]
            pairs = zip(images, levels, strict=True)
            parts = [self.run_picture(image, level, tiles)[None] for image, level in pairs]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        return np.clip(np.asarray(self.runner.run(images, sigma), np.float32), 0.0, 1.0)

    def naive(self, images: np.ndarray, sigma: float | None = None) -> np.ndarray | None:
        """Returns the naive estimate ψ(y), clipped to [0, 1], or `None` where there is none.

        Takes what `denoise` takes. Only a GradNet held as a Keras model has one.
        """
        images = self._checked(images)
        estimate = self.runner.naive(images, self._levels(images, sigma, estimate_sigma))
        return None if estimate is None else np.clip(np.asarray(estimate, np.float32), 0.0, 1.0)

    def __call__(
        self,
        image: np.ndarray,
        strength: float = 1.0,
        sigma: float | None = None,
        *,
        luma: float = 1.0,
        chroma: float = 1.0,
        self_ensemble: bool = False,
        tiles: TileConfig = AUTO,
        on_tile: OnTile | None = None,
    ) -> np.ndarray:
        """Denoises a picture, or a batch, in its own number format.

        Args:
            image: uint8, uint16 or float with nominal range [0, 1], (H, W),
                (H, W, C) or (N, H, W, C): C = 1 grey, 3 RGB, 2 and 4 the same with alpha,
                which stays as it is. A grey picture, also one stored as RGB with equal
                channels, goes through `for_grey`; where the model takes the other kind of
                colour, the picture is adapted as `adapt_channels` says.
            strength: 1 is the network's result, 0 the picture itself bit for bit, between
                them a blend.
            sigma: see `denoise`.
            luma: strength for brightness alone; multiplies `strength`. See
                `gradnet_tf.pictures.Strength`.
            chroma: strength for colour alone.
            self_ensemble: averages over the eight flips and quarter turns: a little better,
                eight times slower.
            tiles: how a large picture is cut; the result does not depend on it.
            on_tile: called with the pixels done and all pixels of an image, whenever some
                are done; once for each image with `self_ensemble`.

        Returns:
            A new array like `image`; integers are rounded to the nearest level, floats
            are in [0, 1] at full strength.

        Raises:
            UserError: another shape or dtype, values that are not finite, a strength
                outside [0, 1], too little memory allowed by `tiles`, or tiles that the
                network cannot run in.
            MemoryError: memory does not suffice for the smallest tiles.
        """
        wanted = Strength(strength, luma, chroma)
        return denoise_picture(self, image, wanted, sigma, self_ensemble, tiles, on_tile)

    def for_grey(self) -> "Denoiser":
        """Returns what denoises grey pictures: the grey weights that ship beside these, or itself.

        They are loaded, and named on standard error, by the first call.
        """
        if self._for_grey is None:
            self._for_grey = grey_partner(self) or self
        return self._for_grey

    def run_picture(
        self,
        image: np.ndarray,
        sigma: float | None,
        tiles: TileConfig,
        pixels: PixelFormat = FLOATS,
        on_tile: OnTile | None = None,
    ) -> np.ndarray:
        """Denoises one picture in tiles, its numbers read and stored part by part.

        Args:
            image: (H, W, ·), of which `pixels.read` makes float32 with `channels` channels.
            sigma: noise level on the 0-255 scale; see `denoise`.
            tiles: how it is cut.
            pixels: how it is read and the result is stored.
            on_tile: see `__call__`.

        Returns:
            (H, W, ·), what `pixels.store` makes.

        Raises:
            UserError: see `__call__`.
            MemoryError: see `__call__`.
        """
        level = self._levels(
            image[None], sigma, lambda own: estimate_and_tell(pixels.read(own[None])[0], self.name)
        )
        if hasattr(self.runner, "run_picture"):
            return self.runner.run_picture(image, level, tiles, pixels, on_tile)

        def clipped(*inputs):
            return np.clip(np.asarray(self.runner.run(*inputs), np.float32), 0.0, 1.0)

        reason = f"{self.name} runs whole pictures only"
        return run_whole(clipped, image, level, tiles, pixels, on_tile, reason)

    def _levels(self, images, sigma, estimate) -> np.ndarray | None:
        """Returns σ of each image, float32 (N,), or `None` where the network takes none."""
        if not self.needs_sigma:
            return None
        if sigma is None:
            return np.array([estimate(image) for image in images], np.float32)
        levels = np.asarray(sigma, np.float32)
        if (
            levels.shape not in ((), (1,), (len(images),))
            or not ((levels >= 0) & (levels <= 255)).all()
        ):
            raise UserError(
                f"sigma: expected a number in [0, 255], or one for each of {len(images)} images. "
                f"Received: {sigma}."
            )
        return np.broadcast_to(levels, (len(images),))

    def _checked(self, images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        taken = (1, 3) if self.channels is None else (self.channels,)
        if images.ndim != 4 or images.shape[-1] not in taken:
            raise UserError(
                f"images: {self.name} takes (N, H, W, {' or '.join(map(str, taken))}). "
                f"Received: shape {images.shape}."
            )
        if not np.issubdtype(images.dtype, np.floating):
            raise UserError(
                "images: expected float values with nominal range [0, 1]. "
                f"Received: {images.dtype}."
            )
        return images.astype(np.float32, copy=False)
