"""Run by test_backends.py under each Keras backend: writes outputs for the same weights.

Usage: python backend_outputs.py FOLDER OUTPUT.npz, with KERAS_BACKEND set.
"""

import sys
from pathlib import Path

import numpy as np
from keras import ops

from gradnet_tf.evaluation import metrics
from gradnet_tf.layers import GradientFilters, SobelGradient
from gradnet_tf.models import CBDNet, SKDnCNN, losses
from gradnet_tf.models.base import build_model as build_variables
from gradnet_tf.models.presets import build_model


def main(folder, output):
    """Loads (or on the first call makes) the weights of each preset and applies it."""
    random = np.random.default_rng(0)
    results = {}
    clean = random.random((2, 37, 31, 3), dtype=np.float32)
    noisy = clean + random.standard_normal(clean.shape).astype("float32") * np.float32(0.1)
    presets = "gradnet_tiny gradnet_small mskresnet dncnn_small dncnn_bn ffdnet adnet".split()
    networks = {preset: build_model(preset) for preset in presets}
    networks["cbdnet"] = build_variables(CBDNet(8, 8))
    for preset, model in networks.items():
        level = {"sigma": np.float32([15, 40])} if model.needs_sigma else {}
        path = Path(folder) / f"{preset}.weights.h5"
        if path.exists():
            model.load_weights(path)
        else:
            # A residual of a natural size, so that an agreement says something of the layers.
            residual = ops.convert_to_numpy(model(noisy, **level)) - noisy
            kernel = model.reconstruction.kernel
            kernel.assign(ops.multiply(kernel, 0.1 / residual.std()))
            model.save_weights(path)
        results[preset] = ops.convert_to_numpy(model(noisy, **level))
    model = build_variables(SKDnCNN("II", "clean", None, 4, 8))
    path = Path(folder) / "skdncnn.weights.h5"
    if path.exists():
        model.load_weights(path)
    else:
        model.reconstruction.kernel.assign(model.reconstruction.kernel * 30.0)
        model.save_weights(path)
    results["skdncnn"] = ops.convert_to_numpy(model(np.concatenate([noisy, clean], -1)))
    results["scharr"] = ops.convert_to_numpy(GradientFilters("scharr", learned=True)(noisy))
    results["sobel"] = ops.convert_to_numpy(SobelGradient()(noisy))
    results["loss"] = ops.convert_to_numpy(losses.gradnet_loss_per_image(clean, noisy))
    results["psnr"] = ops.convert_to_numpy(metrics.psnr(clean, noisy)) / 10
    results["ssim"] = ops.convert_to_numpy(metrics.ssim(clean, noisy))
    results["modules"] = np.array("tensorflow" in sys.modules)
    np.savez(output, noisy=noisy, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
