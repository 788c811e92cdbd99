"""Small networks of other projects: random tensors under their names, and what they compute.

NumPy in PyTorch's axes (N, C, H, W), written from the papers, as the reference for what our
Keras models make of the same tensors.
"""

import numpy as np

RNG = np.random.default_rng(17)


def tensor(*shape, low=-0.4, high=0.4):
    return RNG.uniform(low, high, shape).astype(np.float32)


def convolve(images, kernel, bias=None, dilation=1):
    """Cross-correlation with zero padding, (out, in, k, k), in float64."""
    size = kernel.shape[-1]
    margin = dilation * (size // 2)
    padded = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (margin,) * 2, (margin,) * 2))
    height, width = images.shape[2:]
    total = 0
    for row in range(size):
        for column in range(size):
            top, left = row * dilation, column * dilation
            part = padded[:, :, top : top + height, left : left + width]
            total = total + np.einsum("oi,nihw->nohw", kernel[:, :, row, column], part)
    return total if bias is None else total + bias[:, None, None]


def normalise(features, gamma, beta, mean, variance):
    shape = (-1, 1, 1)
    scaled = (features - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5)
    return scaled * gamma.reshape(shape) + beta.reshape(shape)


def norm_tensors(name, width, counted=True):
    found = {
        f"{name}.weight": tensor(width, low=0.5, high=1.5),
        f"{name}.bias": tensor(width),
        f"{name}.running_mean": tensor(width),
        f"{name}.running_var": tensor(width, low=0.2, high=2.0),
    }
    if counted:
        found[f"{name}.num_batches_tracked"] = np.array(7, np.int64)
    return found


def chain_tensors(prefix, inputs, width, outputs, layers=4, bias=True, norm=False):
    """Tensors of a chain of modules: convolution, [normalisation], ReLU, …"""
    found, number = {}, 0
    for index in range(layers):
        into, out = (inputs if index == 0 else width), (outputs if index == layers - 1 else width)
        found[f"{prefix}.{number}.weight"] = tensor(out, into, 3, 3)
        if bias:
            found[f"{prefix}.{number}.bias"] = tensor(out)
        number += 1
        if norm and 0 < index < layers - 1:
            found |= norm_tensors(f"{prefix}.{number}", width)
            number += 1
        number += 1
    return found


def harmless(tensors):
    """The same network with an output near 0, which changes no picture: it is not refused."""
    last = max((name for name in tensors if name.endswith(".weight")), key=_number_of)
    scaled = (last, last.replace(".weight", ".bias"))
    return {
        name: np.float32(1e-3) * value if name in scaled else value
        for name, value in tensors.items()
    }


def _number_of(name):
    return int(name.split(".")[-2])


def run_chain(tensors, prefix, features):
    """What such a chain computes."""
    numbers = sorted({int(name[len(prefix) + 1 :].split(".")[0]) for name in tensors})
    for number in numbers:
        name = f"{prefix}.{number}"
        weight = tensors[f"{name}.weight"]
        if weight.ndim == 4:
            if number:
                features = np.maximum(features, 0)
            features = convolve(features, weight, tensors.get(f"{name}.bias"))
        else:
            parts = ("weight", "bias", "running_mean", "running_var")
            features = normalise(features, *(tensors[f"{name}.{part}"] for part in parts))
    return features


def unshuffle(images):
    """Pixels of 2×2 blocks to channels in PyTorch's order: c·4 + row·2 + column."""
    batch, channels, height, width = images.shape
    blocks = images.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(batch, channels * 4, height // 2, width // 2)


def shuffle(features):
    batch, channels, height, width = features.shape
    blocks = features.reshape(batch, channels // 4, 2, 2, height, width)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(batch, channels // 4, height * 2, width * 2)


def run_ffdnet(images, sigma, network, levels, level_first):
    """FFDNet's frame around `network`: blocks, maps of σ, pixels; (N, C, H, W)."""
    height, width = images.shape[2:]
    even = np.pad(images, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    blocks = unshuffle(even)
    level = np.asarray(sigma).reshape(-1, 1, 1, 1) / 255
    maps = np.broadcast_to(level, (len(blocks), levels, *blocks.shape[2:]))
    parts = [maps, blocks] if level_first else [blocks, maps]
    return shuffle(network(np.concatenate(parts, axis=1)))[:, :, :height, :width]


def adnet_tensors(channels=3, width=4):
    found = {}
    for number in range(1, 16):
        found[f"conv1_{number}.0.weight"] = tensor(width, channels if number == 1 else width, 3, 3)
        found |= norm_tensors(f"conv1_{number}.1", width)
    found["conv1_16.weight"] = tensor(channels, width, 3, 3)
    found["conv3.weight"] = tensor(channels, 2 * channels, 1, 1)
    found["conv3.bias"] = tensor(channels)
    return found


def run_adnet(tensors, images):
    """The network on BGR images, (N, C, H, W)."""
    features = images
    for number in range(1, 16):
        dilation = 2 if number in (2, 5, 9, 12) else 1
        features = convolve(features, tensors[f"conv1_{number}.0.weight"], dilation=dilation)
        parts = ("weight", "bias", "running_mean", "running_var")
        found = (tensors[f"conv1_{number}.1.{part}"] for part in parts)
        features = np.maximum(normalise(features, *found), 0)
    noise = convolve(features, tensors["conv1_16.weight"])
    beside = np.tanh(np.concatenate([images, noise], axis=1))
    return images - convolve(beside, tensors["conv3.weight"], tensors["conv3.bias"]) * noise
