"""The networks in NumPy float64, written from the paper and its supplement and not from the layers.

Nothing here calls Keras or TensorFlow. A network is given as plain arrays, which the `*_weights`
functions read out of a Keras model; the equations are numbered as in the supplement. Images and
features are (N, H, W, C).
"""

import numpy as np


def conv(features, weights):
    """A convolution that keeps the size, zeros outside: `weights` is (kernel, bias or None)."""
    kernel, bias = weights
    rows, columns = kernel.shape[:2]
    top, left = rows // 2, columns // 2
    padded = np.pad(features, ((0, 0), (top, top), (left, left), (0, 0)))
    height, width = features.shape[1:3]
    output = np.zeros((*features.shape[:3], kernel.shape[3]))
    for row in range(rows):
        for column in range(columns):
            output += padded[:, row : row + height, column : column + width] @ kernel[row, column]
    return output if bias is None else output + bias


def relu(features):
    """τ."""
    return np.maximum(features, 0)


def sigmoid(features):
    """σ of equation (4)."""
    return 1 / (1 + np.exp(-features))


def sobel_magnitude(images, epsilon=1e-6):
    """G: sqrt(gx² + gy² + ε) of each channel, the border repeated."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    # Central difference along one axis, weights 1, 2, 1 across it.
    along_x = padded[:, :, 2:] - padded[:, :, :-2]
    along_y = padded[:, 2:] - padded[:, :-2]
    gradient_x = along_x[:, :-2] + 2 * along_x[:, 1:-1] + along_x[:, 2:]
    gradient_y = along_y[:, :, :-2] + 2 * along_y[:, :, 1:-1] + along_y[:, :, 2:]
    return np.sqrt(gradient_x**2 + gradient_y**2 + epsilon)


def to_depth(images, scale):
    """Blocks of `scale`×`scale` pixels as channels, row by row; odd sizes repeat their border."""
    count, height, width, channels = images.shape
    bottom, right = -height % scale, -width % scale
    padded = np.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
    rows, columns = padded.shape[1] // scale, padded.shape[2] // scale
    blocks = padded.reshape(count, rows, scale, columns, scale, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows, columns, -1)


def to_pixels(features, scale, like):
    """The inverse of `to_depth`, cut to the size of `like`."""
    count, rows, columns, depth = features.shape
    blocks = features.reshape(count, rows, columns, scale, scale, depth // scale**2)
    pixels = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows * scale, columns * scale, -1)
    return pixels[:, : like.shape[1], : like.shape[2]]


def batch_norm(features, norm):
    """Normalisation by the moving statistics, ε as PyTorch has it."""
    gamma, beta, mean, variance = norm
    return gamma * (features - mean) / np.sqrt(variance + 1e-5) + beta


def res_unit(features, unit):
    """R, equation (1)."""
    return relu(conv(relu(conv(features, unit["conv1"])), unit["conv2"]) + features)


def attention_of(features, module):
    """Equations (3) and (4): the weight of each channel, (N, 1, 1, C)."""
    pooled = features.sum(axis=(1, 2), keepdims=True) / (features.shape[1] * features.shape[2])
    return sigmoid(conv(relu(conv(pooled, module["shrink"])), module["expand"]))


def residual_module(features, module, attention_position):
    """M: equation (2), the medium skip, attention, and the fusion back to C channels."""
    output = features
    for unit in module["units"]:
        output = res_unit(output, unit)
    output = np.concatenate([features, output], axis=3)
    if attention_position == "before_fusion":
        return conv(output * attention_of(output, module), module["fusion"])
    output = conv(output, module["fusion"])
    return output * attention_of(output, module)


def mskresnet_body(features, modules, attention_position):
    """Equation (5) and the long skip."""
    output = features
    for module in modules:
        output = residual_module(output, module, attention_position)
    return output + features


def mskresnet(noisy, weights, scale, attention_position):
    """The main branch without a gradient."""
    features = relu(conv(to_depth(noisy, scale), weights["features"]))
    features = mskresnet_body(features, weights["modules"], attention_position)
    return to_pixels(conv(features, weights["reconstruction"]), scale, noisy) + noisy


def dncnn(noisy, weights, scale):
    """ψ: y minus what a chain of convolutions predicts; some of them normalise."""
    features = to_depth(noisy, scale)
    for convolution, norm in weights["chain"]:
        features = conv(features, convolution)
        features = relu(features if norm is None else batch_norm(features, norm))
    return noisy - to_pixels(conv(features, weights["reconstruction"]), scale, noisy)


def gradnet(noisy, naive, weights, scale, attention_position):
    """Section 4 of the supplement: f0, g0, the denoising block, and `+ y`; `naive` is ψ(y)."""
    features = relu(conv(to_depth(noisy, scale), weights["features"]))
    gradient = to_depth(sobel_magnitude(naive), scale)
    fused = np.concatenate([features, gradient], axis=3)
    fused = mskresnet_body(fused, weights["modules"], attention_position)
    return to_pixels(conv(fused, weights["reconstruction"]), scale, noisy) + noisy


def skdncnn(noisy, guide, weights, scale, fusion):
    """SKDnCNN (fusion "none") and GradNet-I to IV of figure 2; `guide` is what G is taken of."""
    gradient = None if fusion == "none" else sobel_magnitude(guide)
    deep = None if fusion == "none" else to_depth(gradient, scale)
    features = to_depth(noisy, scale)
    if fusion == "I":
        features = np.concatenate([features, deep], axis=3)
    first = relu(conv(features, weights["features"]))
    features = np.concatenate([first, deep], axis=3) if fusion == "II" else first
    for convolution, norm in weights["chain"]:
        features = relu(batch_norm(conv(features, convolution), norm))
    joined = [features, first, deep] if fusion == "III" else [features, first]
    residual = conv(np.concatenate(joined, axis=3), weights["reconstruction"])
    residual = to_pixels(residual, scale, noisy)
    return noisy - (residual * gradient if fusion == "IV" else residual)


# What follows reads Keras models; only names of their parts are used, none of their computation.


def _arrays(variables):
    return [np.asarray(variable.numpy(), np.float64) for variable in variables]


def conv_weights(layer):
    """(kernel, bias) of a Keras convolution, the bias `None` where it has none."""
    kernel, *bias = _arrays(layer.weights)
    return kernel, (bias[0] if bias else None)


def norm_weights(layer):
    """(γ, β, mean, variance) of a Keras batch normalisation."""
    return tuple(_arrays([layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]))


def chain_weights(layers):
    """[(convolution, normalisation or None)] of the hidden layers of a DnCNN or an SKDnCNN."""
    return [
        (conv_weights(layer.conv), norm_weights(layer.norm))
        if hasattr(layer, "norm")
        else (conv_weights(layer), None)
        for layer in layers
    ]


def module_weights(module):
    """The arrays of one residual module."""
    return {
        "units": [
            {"conv1": conv_weights(unit.conv1), "conv2": conv_weights(unit.conv2)}
            for unit in module.units
        ],
        "shrink": conv_weights(module.squeeze_excitation.shrink),
        "expand": conv_weights(module.squeeze_excitation.expand),
        "fusion": conv_weights(module.fusion),
    }


def body_weights(body):
    """The arrays of a denoising block, one entry for each residual module."""
    return [module_weights(module) for module in body.residual_modules]


def main_weights(model):
    """The arrays of MSKResnet, or of GradNet's main branch."""
    return {
        "features": conv_weights(model.features),
        "modules": body_weights(model.body),
        "reconstruction": conv_weights(model.reconstruction),
    }


def dncnn_weights(model):
    """The arrays of a DnCNN."""
    chain, last = chain_weights(model.convs), conv_weights(model.reconstruction)
    return {"chain": chain, "reconstruction": last}


def skdncnn_weights(model):
    """The arrays of an SKDnCNN."""
    chain, last = chain_weights(model.stack), conv_weights(model.reconstruction)
    return {"features": conv_weights(model.features), "chain": chain, "reconstruction": last}


def draw_weights(model, seed=0):
    """Gives every variable of a Keras model random values, so that no part of it is silent.

    Kernels keep the size of what they are applied to, biases are not zero, normalisations are far
    from the identity. Initial values would hide much: zero biases, and reconstructions near zero.
    """
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        shape, name = tuple(variable.shape), variable.name
        if name == "kernel":
            values = rng.normal(0, np.sqrt(1.5 / np.prod(shape[:-1])), shape)
        elif name in ("gamma", "moving_variance"):
            values = rng.uniform(0.5, 1.5, shape)
        else:
            values = rng.normal(0, 0.2, shape)
        variable.assign(values.astype(np.float32))
    return model
