"""The loss that a training step minimizes, for every engine (keras.ops only)."""

from gradnet_tf.degradations import unit_to_sigma
from gradnet_tf.models.losses import (
    gradnet_loss_per_image,
    l1_per_image,
    l2_per_image,
    noise_level,
)


def realized_sigma(noisy, clean):
    """Returns the standard deviation of each image's noise, (N,) float32, 0-255 scale.

    Batches do not include noise levels. On a training crop, the standard deviation of white
    Gaussian noise differs from the level by well under a percent, so it is computed from the pair,
    without the pixels that have no noise at all: those of a frame around the picture.

    Args:
        noisy: (N, H, W, C) float32.
        clean: (N, H, W, C) float32.
    """
    return unit_to_sigma(noise_level(noisy, clean))


def objective_per_image(model, noisy, clean, gradient_loss_weight, joint, l2=False):
    """Returns the loss of each image, (N,) float32.

    A method `loss_per_image(noisy, clean, gradient_loss_weight)` of the model
    overrides this loss.

    Args:
        model: a denoising model; with `needs_sigma` it gets `realized_sigma`.
        noisy: (N, H, W, C) float32.
        clean: (N, H, W, C) float32.
        gradient_loss_weight: λ of the paper.
        joint: add the L1 of the naive estimate, for joint training of the naive denoiser.
        l2: use the root mean square instead of L1 for both.
    """
    if hasattr(model, "loss_per_image"):
        return model.loss_per_image(noisy, clean, gradient_loss_weight)
    needs_sigma = getattr(model, "needs_sigma", False)
    kwargs = {"sigma": realized_sigma(noisy, clean)} if needs_sigma else {}
    if not joint:
        denoised = model(noisy, training=True, **kwargs)
        return gradnet_loss_per_image(clean, denoised, gradient_loss_weight, l2)
    outputs = model(noisy, training=True, return_intermediates=True, **kwargs)
    loss = gradnet_loss_per_image(clean, outputs["denoised"], gradient_loss_weight, l2)
    return loss + (l2_per_image if l2 else l1_per_image)(clean, outputs["naive"])
