"""Keras layers of the networks, on keras.ops alone."""

from gradnet_tf.layers.conv_norm import ConvNormReLU
from gradnet_tf.layers.gradient_filters import GradientFilters
from gradnet_tf.layers.residual import MSKResnetBody, ResidualModule, ResUnit
from gradnet_tf.layers.sobel import SobelGradient, image_gradients
from gradnet_tf.layers.space_to_depth import DepthToSpace, SpaceToDepth
from gradnet_tf.layers.squeeze_excitation import SqueezeExcitation

__all__ = [
    "ConvNormReLU",
    "DepthToSpace",
    "GradientFilters",
    "MSKResnetBody",
    "ResUnit",
    "ResidualModule",
    "SobelGradient",
    "SpaceToDepth",
    "SqueezeExcitation",
    "image_gradients",
]
