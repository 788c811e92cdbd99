"""What a training step minimises; the same function under every engine (keras.ops only)."""

from gradnet_tf.losses import gradnet_loss_per_image, l1_per_image


def objective_per_image(model, noisy, clean, gradient_loss_weight, joint):
    """Returns the loss of each image, (N,) float32.

    A model with a method `loss_per_image(noisy, clean, gradient_loss_weight)`
    has the last word on what it minimises.

    Args:
        model: a denoising model.
        noisy: (N, H, W, C) float32.
        clean: (N, H, W, C) float32.
        gradient_loss_weight: λ of the paper.
        joint: add the L1 of the naive estimate, for a naive denoiser that
            trains along with the main branch.
    """
    if hasattr(model, "loss_per_image"):
        return model.loss_per_image(noisy, clean, gradient_loss_weight)
    if not joint:
        return gradnet_loss_per_image(clean, model(noisy, training=True), gradient_loss_weight)
    outputs = model(noisy, training=True, return_intermediates=True)
    loss = gradnet_loss_per_image(clean, outputs["denoised"], gradient_loss_weight)
    return loss + l1_per_image(clean, outputs["naive"])
