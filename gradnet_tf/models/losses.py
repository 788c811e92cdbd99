"""The paper's loss: mean L1 and gradient consistency; and two losses of CBDNet."""

from typing import Any

import keras
from keras import ops

from gradnet_tf.layers.sobel import image_gradients


def l1_per_image(clean, denoised):
    """Mean absolute difference of each image: (N, H, W, C) twice → (N,)."""
    return ops.mean(ops.abs(denoised - clean), axis=(1, 2, 3))


def l2_per_image(clean, denoised):
    """Root of the mean squared difference of each image: (N, H, W, C) twice → (N,).

    The root makes value and gradient comparable to L1's, so that a run can switch between the two
    with one learning rate.
    """
    # The small term keeps the gradient finite where both images are equal.
    return ops.sqrt(ops.mean(ops.square(denoised - clean), axis=(1, 2, 3)) + 1e-12)


def gradient_loss_per_image(clean, denoised):
    """L1 of the horizontal plus L1 of the vertical Sobel responses, each a mean: → (N,)."""
    # The Sobel operator is linear: one pass over the difference serves both images.
    gradient_x, gradient_y = image_gradients(denoised - clean)
    return ops.mean(ops.abs(gradient_x), axis=(1, 2, 3)) + ops.mean(
        ops.abs(gradient_y), axis=(1, 2, 3)
    )


def gradnet_loss_per_image(clean, denoised, gradient_loss_weight=0.1, l2=False):
    """`L1(x̃, x) + λ · [L1 of the Sobel x responses + L1 of the Sobel y responses]`.

    Args:
        clean: (N, H, W, C) float32.
        denoised: (N, H, W, C) float32.
        gradient_loss_weight: λ; 0 for plain L1.
        l2: use `l2_per_image` instead of L1 for the images; the gradients still use L1.

    Returns:
        (N,) float32, the loss of each image.
    """
    loss = l2_per_image(clean, denoised) if l2 else l1_per_image(clean, denoised)
    if gradient_loss_weight:
        loss = loss + gradient_loss_weight * gradient_loss_per_image(clean, denoised)
    return loss


def asymmetric_loss_per_image(true_level, level, alpha=0.3):
    """`mean(|α − 1(σ̂ < σ)| · (σ̂ − σ)²)`: penalizes low noise levels more than high ones (CBDNet).

    A non-blind denoiser leaves noise where the level is too low, and loses little where it is too
    high.

    Args:
        true_level: σ, broadcasts against `level`.
        level: σ̂, (N, H, W, C) float32.
        alpha: α, below a half.

    Returns:
        (N,) float32.
    """
    difference = level - true_level
    weight = ops.where(difference < 0, 1.0 - alpha, alpha)
    return ops.mean(weight * ops.square(difference), axis=(1, 2, 3))


def tv_loss_per_image(level):
    """Mean squared difference of neighbors, rows plus columns: (N, H, W, C) → (N,).

    A direction with a single pixel contributes 0.
    """
    total = ops.zeros_like(level[:, 0, 0, 0])
    for first, second in (
        (level[:, 1:], level[:, :-1]),
        (level[:, :, 1:], level[:, :, :-1]),
    ):
        if 0 not in first.shape[1:]:
            total = total + ops.mean(ops.square(first - second), axis=(1, 2, 3))
    return total


@keras.saving.register_keras_serializable(package="gradnet_tf")
class GradNetLoss(keras.losses.Loss):
    """`gradnet_loss_per_image` as a Keras loss, for `model.compile`.

    Args:
        gradient_loss_weight: λ of the paper, 0.1.
    """

    def __init__(
        self, gradient_loss_weight: float = 0.1, name: str = "gradnet_loss", **kwargs: Any
    ) -> None:
        if gradient_loss_weight < 0:
            raise ValueError(
                "`gradient_loss_weight` must not be negative. "
                f"Received: gradient_loss_weight={gradient_loss_weight}"
            )
        # Always float32; half precision is for the layers.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.gradient_loss_weight = gradient_loss_weight

    def call(self, y_true, y_pred):
        return gradnet_loss_per_image(y_true, y_pred, self.gradient_loss_weight)

    def get_config(self):
        return {
            "name": self.name,
            "reduction": self.reduction,
            "gradient_loss_weight": self.gradient_loss_weight,
        }


def noise_level(noisy, clean):
    """Returns the root mean square of each image's noise where it has any, (N,) float32.

    Args:
        noisy: (N, H, W, C), nominal range [0, 1], of any float dtype; a given estimate in further
            channels does not count.
        clean: (N, H, W, C) float32. Pixels that are equal in both in all channels do not count.
    """
    squares = ops.square(ops.cast(noisy[..., : clean.shape[-1]], "float32") - clean)
    has_noise = ops.cast(ops.any(squares > 0, axis=-1), "float32")
    count = ops.maximum(ops.sum(has_noise, axis=(1, 2)), 1.0)
    return ops.sqrt(ops.sum(ops.mean(squares, axis=-1), axis=(1, 2)) / count)
