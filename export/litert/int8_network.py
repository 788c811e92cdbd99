"""GradNet and related networks in TFLite's 8-bit arithmetic.

Most of the computation has 8 bits: the naive denoiser, the convolutions of the ResUnits, and the
half of each fusion that reads what the units made. Float remains where 8 bits would cost quality:
the image, the gradient magnitude, the attention vectors, the convolutions that read or write the
image, the sums of the residual units, and the half of each fusion through which the input of the
module passes. Activation ranges and rounded kernels minimize the squared error on noisy photographs
and drawings. docs/results.md has the effect of each choice.
"""

import keras
import numpy as np
from keras import ops

from export.litert.silent_channels import LEVELS as NOISE_LEVELS
from export.litert.silent_channels import living_channels, narrowed, noisy_crops
from gradnet_tf.layers.residual import conv3x3

LEVELS = 255
#: Sample size per tensor and image; a tensor has a few hundred thousand values.
_KEPT = 20_000
#: Candidate ranges as fractions of the full one.
_PARTS = np.linspace(0.15, 1.0, 35)
#: The smallest magnitude of a channel that is looked at, as a fraction of the largest one.
_LEAST_SCALE = 1e-4
#: The same of a tensor that no 8-bit kernel reads: smaller channels hardly matter to a sum.
_LEAST_OWN_SCALE = 1e-3
#: Tensors whose values are all smaller count as zero.
_LEAST_RANGE = 1e-6
#: The smallest range of a channel's kernel, as a fraction of the largest one.
_LEAST_KERNEL = 1e-2
#: Places per crop from which the statistics of a convolution's inputs are taken.
_PLACES = 300
#: What is added to the diagonal of these statistics, as a fraction of its mean.
_DAMPING = 0.01


@keras.saving.register_keras_serializable(package="gradnet_tf_export")
class ActivationRange(keras.layers.Layer):
    """Rounds activations to 8 bits, with one range per tensor as in TFLite.

    Until `settle` is called, the layer returns its input and records a sample of it. Afterwards it
    rounds, with the operation that TFLite's converter turns into 8-bit tensors.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.low = self.add_weight(shape=(), initializer="zeros", trainable=False, name="low")
        self.high = self.add_weight(shape=(), initializer="ones", trainable=False, name="high")
        self._sample: list[np.ndarray] | None = []
        self._tops: list[np.ndarray] = []
        self.built = True

    def call(self, features):
        if self._sample is not None:
            values = ops.convert_to_numpy(features)
            self._tops.append(np.abs(values).reshape(-1, values.shape[-1]).max(axis=0))
            draw = np.random.default_rng(len(self._sample))
            self._sample.append(values.ravel()[draw.integers(0, values.size, _KEPT)])
            return features
        return keras.quantizers.fake_quant_with_min_max_vars(features, self.low, self.high)

    def tops(self) -> np.ndarray:
        """Returns the largest magnitude of each channel so far."""
        return np.max(self._tops, axis=0)

    def forget(self):
        """Discards what was recorded so far."""
        self._sample, self._tops = [], []

    def settle(self):
        """Sets the range to `least_error_range` and discards the sample."""
        low, high = least_error_range(np.concatenate(self._sample))
        self.low.assign(low)
        self.high.assign(high)
        self._sample = None


def least_error_range(values: np.ndarray) -> tuple[float, float]:
    """Returns the range (low ≤ 0, high > 0) with the least mean squared error of 8-bit rounding.

    A tensor without values gets (0, 1): XNNPACK refuses files with vanishing ranges.

    The full range wastes levels on rare values; a narrower one clips them. The ends are optimized
    alternately, twice.
    """
    values = np.asarray(values, np.float64)
    if np.abs(values).max() < _LEAST_RANGE:
        return 0.0, 1.0
    lowest, highest = min(values.min(), 0.0), max(values.max(), 1e-6)

    def error(low, high):
        step = (high - low) / LEVELS
        zero = np.round(-low / step)
        levels = np.clip(np.round(values / step) + zero, 0, LEVELS)
        return np.mean(((levels - zero) * step - values) ** 2)

    low, high = lowest, highest
    for _ in range(2):
        high = min((part * highest for part in _PARTS), key=lambda end: error(low, end))
        if lowest < 0:
            low = min((part * lowest for part in _PARTS), key=lambda end: error(end, high))
    return float(low), float(high)


def kernel_range(kernel: np.ndarray) -> np.ndarray:
    """Returns the largest magnitude of each output channel of a kernel (h, w, in, out)."""
    top = np.abs(kernel).max(axis=(0, 1, 2))
    # Weight decay brings the kernels of dead channels to zero. Their bias is stored in steps of the
    # kernel and of the input, and would not fit into its 32 bits.
    return np.maximum(top, max(_LEAST_KERNEL * top.max(), 1e-6))


def least_error_kernel(kernel: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Rounds a kernel to 8 bits so that the convolution's outputs change least.

    The weights of an output channel are rounded one after the other; those that follow make up for
    the error so far, as far as the inputs are correlated. Frantar et al.: GPTQ, ICLR 2023.

    Args:
        kernel: (h, w, in, out).
        moments: mean products of the inputs of one position, (h·w·in, h·w·in).

    Returns:
        float array like `kernel`, of multiples of `kernel_range(kernel) / 127`.
    """
    step = kernel_range(kernel) / 127.0
    weights = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    order = np.argsort(-np.diag(moments), kind="stable")
    damping = _DAMPING * np.mean(np.diag(moments)) + 1e-9
    ordered = moments[np.ix_(order, order)] + damping * np.eye(len(moments))
    upper = np.linalg.cholesky(np.linalg.inv(ordered)).T
    left, rounded = weights[order], np.zeros_like(weights)
    for row, place in enumerate(order):
        rounded[place] = np.clip(np.round(left[row] / step), -127, 127) * step
        error = (left[row] - rounded[place]) / upper[row, row]
        left[row + 1 :] -= np.outer(upper[row, row + 1 :], error)
    return rounded.reshape(kernel.shape).astype(np.float32)


def channel_scales(top: np.ndarray, *kernels: np.ndarray) -> np.ndarray:
    """Returns what each channel of a tensor is divided by, so that one range fits all of them.

    The kernels that read the tensor are multiplied by it. As these are rounded, too, a scale is
    the geometric mean of what would suit the tensor and what would suit the kernels.

    Args:
        top: largest magnitudes of the channels.
        *kernels: 8-bit kernels (h, w, in, out) that read the tensor; without any, the scales are
            what suits the tensor.
    """
    relative = top / max(top.max(), 1e-6)
    if not kernels:
        return np.maximum(relative, _LEAST_OWN_SCALE).astype(np.float32)
    relative = np.maximum(relative, _LEAST_SCALE)
    reading = np.zeros_like(relative)
    for kernel in kernels:
        sizes = np.abs(np.asarray(kernel)).max(axis=(0, 1))
        reading = np.maximum(reading, (sizes / np.maximum(sizes.max(axis=0), 1e-6)).max(axis=1))
    return np.sqrt(relative / np.maximum(reading, _LEAST_SCALE)).astype(np.float32)


class _RoundedConv(keras.layers.Layer):
    """Base of the convolutions with an 8-bit kernel.

    Until `settle` is called, the kernel is exact, and statistics of the inputs are collected.

    Attributes:
        conv: the `keras.layers.Conv2D` of the float network.
        takes: scales of the input's channels; see `channel_scales`.
        gives: scales of the output's channels. ReLU commutes with them, so the network computes
            the same, but for rounding.
    """

    def __init__(self, conv):
        super().__init__(dtype="float32")
        self.conv = conv
        self.takes, self.gives = np.float32(1), np.float32(1)
        self._rounded: tuple[np.ndarray, ...] | None = None
        self.forget()
        self.built = True

    def forget(self):
        """Discards what was collected so far."""
        self._products, self._sums, self._count, self._calls = 0.0, 0.0, 0, 0

    def settle(self):
        """Rounds the kernel, and corrects the bias by what this changes in the mean output."""
        kernel, bias = self._scaled()
        rounded = least_error_kernel(kernel, self._products / self._count)
        means = np.reshape(self._sums / self._count, (-1, 1))
        change = (means * (rounded - kernel).reshape(-1, kernel.shape[-1])).sum(axis=0)
        bias = (bias - change).astype(np.float32)
        self._rounded = rounded, bias, kernel_range(kernel).astype(np.float32)
        self.forget()

    def _scaled(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns kernel and bias between scaled tensors."""
        takes = np.reshape(self.takes, (-1, 1))
        kernel = ops.convert_to_numpy(self.conv.kernel) * (takes / self.gives)
        return kernel, ops.convert_to_numpy(self.conv.bias) / self.gives

    def _collect(self, features: np.ndarray, side: int) -> None:
        """Adds the inputs of some output pixels, (n, side·side·in), to the statistics."""
        draw = np.random.default_rng(self._calls)
        rows, columns = (draw.integers(0, n, _PLACES) for n in features.shape[1:3])
        border = (side // 2, (side - 1) // 2)
        padded = np.pad(features[0], (border, border, (0, 0)))
        places = [padded[rows + i, columns + j] for i in range(side) for j in range(side)]
        inputs = np.concatenate(places, axis=-1).astype(np.float64)
        self._products = self._products + inputs.T @ inputs
        self._sums = self._sums + inputs.sum(axis=0)
        self._count, self._calls = self._count + _PLACES, self._calls + 1


class Int8Conv(_RoundedConv):
    """A `keras.layers.Conv2D` of the float network with 8-bit kernel and outputs."""

    def __init__(self, conv):
        super().__init__(conv)
        self.range = ActivationRange()

    def call(self, features):
        if self._rounded is None:
            kernel, bias = self._scaled()
            self._collect(ops.convert_to_numpy(features), kernel.shape[0])
        else:
            kernel, bias, top = self._rounded
            # The converter takes 8-bit values and their step from this operation.
            kernel = keras.quantizers.fake_quant_with_min_max_vars(
                kernel, -top, top, narrow_range=True, axis=-1
            )
        output = ops.conv(features, kernel, padding="same")
        return self.range(self.conv.activation(output + bias))


class DynamicConv(_RoundedConv):
    """A `keras.layers.Conv2D` with an 8-bit kernel that takes and returns float.

    A .tflite file rounds the input to 8 bits between the least and the largest value of the picture
    at hand. This layer does not, because TFLite's converter has no operation for it:
    `export.litert.tflite` stores the kernel in 8 bits, and the interpreter does the rest.
    """

    def call(self, features):
        if self._rounded is None:
            kernel, bias = self._scaled()
            values = ops.convert_to_numpy(features)
            self._tops = np.maximum(self._tops, np.abs(values).max(axis=(0, 1, 2)))
            self._collect(values, kernel.shape[0])
        else:
            kernel, bias, _ = self._rounded
        return self.conv.activation(ops.conv(features, kernel, padding="same") + bias)

    def forget(self):
        super().forget()
        self._tops = np.float32(0)

    def equalize(self):
        """Chooses the scales of the input's channels: each gets all levels."""
        self.takes = channel_scales(self._tops)

    def rounded_kernel(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the kernel (h, w, in, out) and the step of each output channel, float32."""
        kernel, _, top = self._rounded
        return kernel, top / np.float32(127)


class Int8Chain(keras.layers.Layer):
    """A DnCNN without normalization.

    Args:
        network: the float network.
        float_ends: keep the first and the last convolution in float. A naive denoiser does not need
            this, because only the gradient of its estimate is used.
    """

    def __init__(self, network, float_ends):
        super().__init__(dtype="float32")
        self.network, self.float_ends = network, float_ends
        first, *others = network.convs
        self.range = ActivationRange()
        self.first = first if float_ends else Int8Conv(first)
        self.others = [Int8Conv(conv) for conv in others]
        self.last = network.reconstruction if float_ends else Int8Conv(network.reconstruction)
        self.built = True

    def call(self, images):
        blocks = self.network.to_depth(images)
        features = self.first(blocks if self.float_ends else self.range(blocks))
        features = self.range(features) if self.float_ends else features
        for conv in self.others:
            features = conv(features)
        return images - self.network._to_image(self.last(features), images)

    def equalize(self):
        """Chooses the scales of all tensors between two 8-bit convolutions."""
        convs = [conv for conv in (self.first, *self.others, self.last) if _is_int8(conv)]
        for before, after in zip(convs, convs[1:], strict=False):
            scales = channel_scales(before.range.tops(), after.conv.kernel)
            before.gives = after.takes = scales


def require_supported(model) -> None:
    """Raises `ValueError` for a network that 8-bit files do not support."""
    body = getattr(model, "body", None)
    modules = getattr(body, "residual_modules", ())
    units = [unit for module in modules for unit in module.units]
    normalizes = any(getattr(unit, "batch_norm", False) for unit in units)
    if normalizes or not (units or is_plain_chain(model)):
        raise ValueError(
            "8-bit files support GradNet, MSKResnet and DnCNN without normalization. "
            f"Received: {type(model).__name__}{' with normalization' if normalizes else ''}"
        )


def _is_int8(layer) -> bool:
    return isinstance(layer, Int8Conv)


def _int8_convs(unit, living: np.ndarray | None) -> tuple[Int8Conv, Int8Conv] | None:
    """The convolutions of a unit with these hidden channels; `None` without any."""
    if living is None or len(living) == unit.filters:
        return Int8Conv(unit.conv1), Int8Conv(unit.conv2)
    if not len(living):
        return None
    kernel1, bias1, kernel2, bias2 = narrowed(unit, living)
    return Int8Conv(_conv(kernel1, bias1, "relu")), Int8Conv(_conv(kernel2, bias2))


def _conv(kernel: np.ndarray, bias: np.ndarray, activation: str | None = None):
    """A `keras.layers.Conv2D` with these weights."""
    conv = conv3x3(kernel.shape[-1], "float32", activation)
    conv.build((None, None, None, kernel.shape[2]))
    conv.set_weights((kernel, bias))
    return conv


def _halves(fusion) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """Splits a convolution into those of the first and of the second half of its channels.

    Their sum is its output; the bias is in the first one.
    """
    kernel, bias = (ops.convert_to_numpy(each) for each in (fusion.kernel, fusion.bias))
    first, second = np.split(kernel, 2, axis=2)
    return _conv(first, bias), _conv(second, np.zeros_like(bias))


class Int8Module(keras.layers.Layer):
    """A `gradnet_tf.layers.residual.ResidualModule` with the attention before the fusion.

    The convolutions of its units have 8 bits; their sums and the attention are float. The fusion,
    of the module's input and the units' output, is the sum of a float convolution of the first and
    one with 8 bits of the second. Returns the output and the attention.

    Args:
        module: the float module.
        living: hidden channels to compute of each unit, see `export.litert.silent_channels`; all if
            absent. A tensor that is zero everywhere has no range that an 8-bit convolution could
            work with.

    Attributes:
        takes: scales of the channels of all sums in the module; see `channel_scales`.
    """

    def __init__(self, module, living=None):
        super().__init__(dtype="float32")
        if module.attention_position != "before_fusion":
            raise ValueError(
                "`attention_position` must be before_fusion. "
                f"Received: {module.attention_position!r}"
            )
        self.squeeze_excitation = module.squeeze_excitation
        self.float_fusion, second = _halves(module.fusion)
        self.int8_fusion = DynamicConv(second)
        self.units = list(module.units)
        living = living or {}
        self.convs = [_int8_convs(unit, living.get(id(unit))) for unit in module.units]
        self.inputs = [None if convs is None else ActivationRange() for convs in self.convs]
        self.takes = np.ones(module.filters, np.float32)
        self.built = True

    def call(self, features, attention=None):
        first = output = features / self.takes
        for unit, convs, rounded in zip(self.units, self.convs, self.inputs, strict=True):
            if convs is None:
                change = unit.conv2.bias / self.takes
            else:
                change = convs[1](convs[0](rounded(output))) * (convs[1].gives / self.takes)
            output = ops.relu(change + output)
        if attention is None:
            pooled = [
                ops.mean(part, axis=(1, 2), keepdims=True) * self.takes for part in (first, output)
            ]
            squeeze = self.squeeze_excitation
            attention = squeeze.expand(squeeze.shrink(ops.concatenate(pooled, axis=-1)))
        scaled = attention * np.tile(self.takes, 2)
        first_weights, weights = ops.split(scaled, 2, axis=-1)
        fused = self.int8_fusion(output * (weights / self.int8_fusion.takes))
        return self.float_fusion(first * first_weights) + fused, attention

    def equalize(self):
        """Chooses the scales of the module's tensors."""
        self.int8_fusion.equalize()
        convs = [pair for pair in self.convs if pair]
        if not convs:
            return
        tops = np.max([each.tops() for each in self.inputs if each], axis=0)
        self.takes = channel_scales(tops, *(conv1.conv.kernel for conv1, _ in convs))
        for conv1, conv2 in convs:
            conv1.takes = self.takes
            # Nothing 8-bit reads the second output, so its channels can have ranges of their own.
            conv2.gives = channel_scales(conv2.range.tops())
            conv1.gives = conv2.takes = channel_scales(conv1.range.tops(), conv2.conv.kernel)


class Int8Network(keras.Model):
    """A network that rounds like its 8-bit TFLite file.

    After calls with calibration images and `settle`, it computes the same as the file that
    `export.litert.tflite` makes of it, but for the inputs of a `DynamicConv`. Arguments and output
    of calls are those of `gradnet_tf.models.GradNet`.

    Args:
        model: a GradNet, MSKResnet or DnCNN of `gradnet_tf.models`, float32. The naive denoiser of
            a GradNet stays in float unless it is a DnCNN without normalization.
        living: see `Int8Module`.
        int8_naive: whether such a DnCNN has 8 bits.

    Raises:
        ValueError: for another network.
    """

    needs_sigma = False

    def __init__(self, model, living=None, int8_naive=True):
        super().__init__()
        self.model = model
        self.channels, self.attention_widths = model.channels, model.attention_widths
        naive = getattr(model, "naive_denoiser", None)
        require_supported(model)
        chain = model if is_plain_chain(model) else naive if int8_naive else None
        self.chain = Int8Chain(chain, chain is model) if is_plain_chain(chain) else None
        body = getattr(model, "body", None)
        modules = () if body is None else body.residual_modules
        self.has_body = body is not None
        self.body_modules = [Int8Module(module, living) for module in modules]
        self.built = True

    def call(self, images, attention=None, return_intermediates=False, training=False):
        model, used = self.model, []
        if not self.has_body:
            return self.chain(images)
        features = model.features(model.to_depth(images))
        if getattr(model, "naive_denoiser", None) is not None:
            estimate, used = self._estimate(images, attention)
            gradient = model.to_depth(model.sobel(estimate))
            features = ops.concatenate([features, gradient], axis=-1)
        output = features
        for module in self.body_modules:
            output, weights = module(output, None if attention is None else attention[len(used)])
            used.append(weights)
        residual = model.reconstruction(output + features)
        denoised = images + model._to_image(residual, images)
        return {"denoised": denoised, "attention": used} if return_intermediates else denoised

    def _estimate(self, images, attention):
        """Returns the naive estimate and the attention vectors it used."""
        naive = self.model.naive_denoiser
        if self.chain is not None:
            return self.chain(images), []
        count = len(getattr(naive, "attention_widths", ()))
        if not count:
            return naive(images), []
        given = None if attention is None else attention[:count]
        outputs = naive(images, attention=given, return_intermediates=True)
        return outputs["denoised"], list(outputs["attention"])

    def equalize(self):
        """Ends the first part of the calibration: chooses the scales of channels.

        Calls before this see each tensor unscaled; the calls after it determine the ranges.
        """
        if self.chain is not None:
            self.chain.equalize()
        for module in self.body_modules:
            module.equalize()
        for layer in self._calibrated():
            layer.forget()

    def settle(self):
        """Ends the calibration: from now on all activations and kernels are rounded."""
        for layer in self._calibrated():
            layer.settle()

    def dynamic_kernels(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns `DynamicConv.rounded_kernel` of each."""
        return [module.int8_fusion.rounded_kernel() for module in self.body_modules]

    def _calibrated(self):
        layers = self._flatten_layers(include_self=False)
        return [layer for layer in layers if isinstance(layer, (ActivationRange, _RoundedConv))]


def is_plain_chain(model) -> bool:
    """Whether a network is a DnCNN without batch normalization."""
    return getattr(model, "is_plain_chain", False)


def calibrated(
    model,
    image_sets,
    levels: tuple[float, float] | None,
    seed: int = 0,
    int8_naive: bool = True,
) -> Int8Network:
    """Returns the 8-bit network, calibrated on noisy crops.

    Args:
        model: see `Int8Network`.
        image_sets: sets of clean images.
        levels: lowest and highest noise level of the training, on the 0-255 scale.
        seed: seed of crops, levels and noise.
        int8_naive: see `Int8Network`.
    """
    crops = [
        crop for images in image_sets for crop in noisy_crops(images, levels or NOISE_LEVELS, seed)
    ]
    network = Int8Network(model, living_channels(model, crops), int8_naive)
    for end_of_pass in (network.equalize, network.settle):
        for crop in crops:
            network(crop)
        end_of_pass()
    return network
