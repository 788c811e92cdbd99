"""How far a network looks: the margin that a tile needs around it."""


def receptive_radius(model) -> int:
    """Returns how many pixels away an input pixel can change an output pixel.

    The channel attention averages over the whole image and is left out: with
    its vectors given, the rest of the network is convolutions, and a tile with
    this margin equals the same part of the whole image.

    Args:
        model: a DnCNN, FFDNet, ADNet, MSKResnet, CBDNet or GradNet of `gradnet_tf.models`,
            or what stands for the naive denoiser in one.

    Raises:
        TypeError: for another network, whose radius this function cannot tell.
    """
    kind = type(model).__name__
    if kind in ("DnCNN", "FFDNet"):
        return _in_pixels(model.num_layers, model.scale)
    if kind == "ADNet":
        # A 3×3 convolution sees as far as its taps lie apart; the last one follows them.
        return sum(conv.dilation for conv in model.convs) + 1
    if kind == "CBDNet":
        return _cbdnet_radius()
    if kind == "FixedSigma":
        return receptive_radius(model.denoiser)
    if kind == "GivenEstimate":
        return 0  # made outside of the network, of the whole image
    if kind not in ("MSKResnet", "GradNet"):
        raise TypeError(f"no rule for the receptive radius of {kind}")
    body = model.body
    # Each ResUnit has two 3×3 convolutions, each module one more to fuse; one reconstructs.
    after_features = body.num_modules * (2 * body.num_units + 1) + 1
    radius = _in_pixels(after_features + 1, model.scale)
    if kind == "GradNet":
        # The other way in: the naive denoiser, then the Sobel's one pixel.
        naive = receptive_radius(model.naive_denoiser) + 1
        radius = max(radius, _in_pixels(after_features, model.scale) + naive)
    return radius


def block_side(model) -> int:
    """Returns the side of the blocks of pixels that a network works on; tiles begin on a block.

    A network that halves the resolution gives other results for a tile that
    begins in the middle of a block of the whole image.

    Args:
        model: see `receptive_radius`.
    """
    kind = type(model).__name__
    if kind == "CBDNet":
        return 4
    inner = {"GradNet": "naive_denoiser", "FixedSigma": "denoiser"}.get(kind)
    return max(model.scale, 1 if inner is None else block_side(getattr(model, inner)))


def _cbdnet_radius() -> int:
    """Adds up CBDNet's U-Net from the lowest scale to the pixels."""
    from gradnet_tf.models.cbdnet import ESTIMATOR_LAYERS, UNET_LAYERS

    first, second, lowest, third, last = UNET_LAYERS
    radius = second + _in_pixels(lowest, 2) + third
    return ESTIMATOR_LAYERS + first + _in_pixels(radius, 2) + last + 1  # and reconstruction


def _in_pixels(radius: int, scale: int) -> int:
    """Converts a radius in blocks to pixels: a block's far pixel is `scale - 1` further away."""
    return radius * scale + scale - 1
