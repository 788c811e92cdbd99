"""The same networks, loss and training step in plain PyTorch, to compare speed with.

A twin of `gradnet_tf.models` for training crops. Its layers have the order of the Keras layers, so
`load_keras_weights` can copy the weights to verify that both networks are equal. Convolutions run
channels-last, optionally under bfloat16 autocast.
"""

import torch
from torch import nn
from torch.nn import functional

from gradnet_tf.models.presets import get_preset


def conv3x3(inputs, outputs):
    """A 3×3 convolution with "same" padding."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def to_depth(images, scale):
    """Blocks of pixels to channels, in the channel order of the Keras layer."""
    if scale == 1:
        return images
    n, c, h, w = images.shape
    blocks = images.reshape(n, c, h // scale, scale, w // scale, scale)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, h // scale, w // scale)


def to_space(features, scale):
    """Channels back to blocks of pixels."""
    if scale == 1:
        return features
    n, d, h, w = features.shape
    blocks = features.reshape(n, scale, scale, d // scale**2, h, w)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, -1, h * scale, w * scale)


def image_gradients(images):
    """Sobel responses (x, y) of each channel, float32, with symmetric padding."""
    channels = int(images.shape[1])  # a constant also in an exported graph
    # Not functional.pad: torch.compile (2.14, CPU) fails on its channels-last gradient.
    padded = images.float()
    # Slices rather than narrow(-1), of which the ONNX exporter makes an empty range.
    padded = torch.cat([padded[:, :, :1], padded, padded[:, :, -1:]], dim=2)
    padded = torch.cat([padded[..., :1], padded, padded[..., -1:]], dim=3)
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=images.device)
    kernels = torch.stack([sobel, sobel.T])[:, None].repeat(channels, 1, 1, 1)
    with torch.autocast(images.device.type, enabled=False):
        responses = functional.conv2d(padded, kernels, groups=channels)
    return responses[:, 0::2], responses[:, 1::2]


class DnCNN(nn.Module):
    """See `gradnet_tf.models.DnCNN`."""

    def __init__(self, num_layers, filters, channels=3, scale=1):
        super().__init__()
        self.scale, depth = scale, channels * scale**2
        self.convs = nn.ModuleList(
            conv3x3(depth if index == 0 else filters, filters) for index in range(num_layers - 1)
        )
        self.reconstruction = conv3x3(filters, depth)

    def forward(self, images):
        """Denoises (N, C, H, W) float32."""
        features = to_depth(images, self.scale)
        for conv in self.convs:
            features = functional.relu(conv(features))
        return images - to_space(self.reconstruction(features).float(), self.scale)


class ResUnit(nn.Module):
    """See `gradnet_tf.layers.residual.ResUnit`."""

    def __init__(self, filters):
        super().__init__()
        self.conv1, self.conv2 = conv3x3(filters, filters), conv3x3(filters, filters)

    def forward(self, features):
        """(N, C, H, W) to the same."""
        return functional.relu(self.conv2(functional.relu(self.conv1(features))) + features)


class ResidualModule(nn.Module):
    """See `gradnet_tf.layers.residual.ResidualModule`; attention before fusion."""

    def __init__(self, filters, num_units, reduction):
        super().__init__()
        self.units = nn.Sequential(*(ResUnit(filters) for _ in range(num_units)))
        self.shrink = nn.Conv2d(2 * filters, max(1, 2 * filters // reduction), 1)
        self.expand = nn.Conv2d(max(1, 2 * filters // reduction), 2 * filters, 1)
        self.fusion = conv3x3(2 * filters, filters)

    def forward(self, features):
        """(N, C, H, W) to the same."""
        output = torch.cat([features, self.units(features)], dim=1)
        pooled = output.mean(dim=(2, 3), keepdim=True)
        attention = torch.sigmoid(self.expand(functional.relu(self.shrink(pooled))))
        return self.fusion(output * attention.to(output.dtype))


class GradNet(nn.Module):
    """See `gradnet_tf.models.GradNet`, with a frozen naive denoiser."""

    def __init__(self, naive, filters, num_modules, num_units, reduction, channels=3, scale=1):
        super().__init__()
        self.scale, depth = scale, channels * scale**2
        self.naive_denoiser = naive.requires_grad_(False)
        self.features = conv3x3(depth, filters)
        self.body = nn.Sequential(
            *(ResidualModule(filters + depth, num_units, reduction) for _ in range(num_modules))
        )
        self.reconstruction = conv3x3(filters + depth, depth)

    def forward(self, images):
        """Denoises (N, C, H, W) float32."""
        with torch.no_grad():
            gradient_x, gradient_y = image_gradients(self.naive_denoiser(images))
            gradient = torch.sqrt(gradient_x**2 + gradient_y**2 + 1e-6)
        features = functional.relu(self.features(to_depth(images, self.scale)))
        fused = torch.cat([features, to_depth(gradient, self.scale).to(features.dtype)], dim=1)
        fused = self.body(fused) + fused
        return images + to_space(self.reconstruction(fused).float(), self.scale)


def build_twin(preset: str, channels: int = 3) -> nn.Module:
    """Builds the PyTorch network of a GradNet or DnCNN preset."""
    preset = get_preset(preset)
    arguments = {**preset.arguments, "channels": channels}
    if preset.architecture == "DnCNN":
        return DnCNN(**arguments)
    if preset.architecture != "GradNet":
        raise ValueError(f"`preset` must be a GradNet or a DnCNN. Received: {preset.name!r}")
    if "width" in arguments:
        depth = channels * arguments.get("scale", 1) ** 2
        arguments["filters"] = arguments.pop("width") - depth
    return GradNet(build_twin(preset.naive, channels), **arguments)


def load_keras_weights(module: nn.Module, arrays) -> None:
    """Copies `model.get_weights()` of the Keras network: kernels (h, w, in, out), biases."""
    for parameter, array in zip(module.parameters(), arrays, strict=True):
        values = torch.from_numpy(array)
        parameter.data.copy_(values.permute(3, 2, 0, 1) if values.ndim == 4 else values)


def gradnet_loss(clean, denoised, gradient_loss_weight):
    """See `gradnet_tf.models.losses.gradnet_loss_per_image`; the mean over the batch."""
    difference = denoised - clean
    gradient_x, gradient_y = image_gradients(difference)
    gradients = gradient_x.abs().mean() + gradient_y.abs().mean()
    return difference.abs().mean() + gradient_loss_weight * gradients


class Muon(torch.optim.Optimizer):
    """The arithmetic of `gradnet_tf.training.engines.optimizers.Muon`, for kernels and the rest."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})
        found = self.param_groups[0]["params"]
        self._wide = [p for p in found if p.ndim == 4 and p.shape[2] > 1 and min(p.shape[:2]) > 16]
        wide = {id(p) for p in self._wide}
        rest = [p for p in found if id(p) not in wide]
        self._adam = torch.optim.Adam(rest, lr, eps=1e-7, fused=True)

    @torch.no_grad()
    def step(self, closure=None):
        """Updates all parameters."""
        rate = self._adam.param_groups[0]["lr"] = self.param_groups[0]["lr"]
        self._adam.step()
        for parameter in self._wide:
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"].mul_(0.95).add_(parameter.grad)
            direction = parameter.grad + 0.95 * momentum
            # A view, as the memory is channels-last: (output channels, height · width · inputs).
            matrix = direction.permute(0, 2, 3, 1).flatten(1)
            matrix = matrix / (matrix.norm() + 1e-7)
            gram, total = matrix @ matrix.T, torch.eye(len(matrix), device=matrix.device)
            for number in range(5):
                factor = -4.7750 * gram + 2.0315 * gram @ gram
                factor.diagonal().add_(3.4445)
                total = total @ factor
                if number < 4:
                    gram = factor @ gram @ factor
            out, inputs, height, width = parameter.shape
            update = (total @ matrix).reshape(out, height, width, inputs).permute(0, 3, 1, 2)
            parameter.sub_(update, alpha=rate * 0.2 * max(matrix.shape) ** 0.5)


class TorchTrainer:
    """Runs training steps like the engines of `gradnet_tf`: loss, gradients, clipping, update."""

    def __init__(self, config, compiled: bool):
        """Args:
        config: a `TrainConfig`; float32 or mixed_bfloat16.
        compiled: use `torch.compile`.
        """
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = build_twin(config.preset, config.channels).to(self.device)
        self.module = self.module.to(memory_format=torch.channels_last)
        self._trainable = [p for p in self.module.parameters() if p.requires_grad]
        if config.optimizer == "muon":
            self._optimizer = Muon(self._trainable, config.learning_rate)
        else:  # Epsilon as in Keras.
            rate = config.learning_rate
            self._optimizer = torch.optim.Adam(self._trainable, rate, eps=1e-7, fused=True)
        self._loss = torch.compile(self._forward) if compiled else self._forward

    def _forward(self, noisy, clean):
        half = self.config.precision == "mixed_bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            denoised = self.module(noisy)
        return gradnet_loss(clean, denoised, self.config.gradient_loss_weight)

    def place(self, images):
        """Moves a NumPy array (N, H, W, C) to the device, channels-last."""
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)
        return tensor.contiguous(memory_format=torch.channels_last)

    def step(self, batch, learning_rate: float) -> dict:
        """Runs one step on (noisy, clean) from `place`."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(*batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._trainable, self.config.clip_norm)
        self._optimizer.step()
        return {"loss": loss.item(), "finite": bool(torch.isfinite(norm))}
