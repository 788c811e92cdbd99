"""Runs a .tflite file with LiteRT (`ai_edge_litert`); TensorFlow is not needed."""

import os
from pathlib import Path

import numpy as np

from gradnet_tf.errors import UserError


class TFLiteRunner:
    """A .tflite file with one float32 image in and one out, as a function on arrays.

    Images of a batch go through one after the other, since the files are made
    for a batch of one.

    Args:
        path: the .tflite file.
        num_threads: threads of the interpreter; all cores by default.

    Raises:
        UserError: the file does not load, or has other inputs or outputs.
    """

    needs_sigma = False
    model = None
    parameters = None

    def __init__(self, path: Path, num_threads: int | None = None):
        from ai_edge_litert.interpreter import Interpreter

        self.path = path
        try:
            self._interpreter = Interpreter(
                model_path=str(path), num_threads=num_threads or os.cpu_count()
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{path}: the file does not load: {reason}") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shapes = [item["shape_signature"].tolist() for item in inputs]
        shape = shapes[0] if len(shapes) == 1 else ()
        if len(shape) != 4 or inputs[0]["dtype"] != np.float32 or len(outputs) != 1:
            raise UserError(
                f"{path}: expected one float32 input (1, H, W, C) and one output. "
                f"Received: inputs {shapes}, {len(outputs)} outputs."
            )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self.fixed_size = tuple(int(side) for side in shape[1:3] if side > 0)
        self.channels = int(shape[-1])
        self._allocated: tuple[int, ...] | None = None

    def run(self, images: np.ndarray, sigma: None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`."""
        return np.concatenate([self._run_one(images[i : i + 1]) for i in range(len(images))])

    def naive(self, images: np.ndarray, sigma: None = None) -> None:
        """A .tflite file does not give its naive estimate."""
        return None

    def _run_one(self, image: np.ndarray) -> np.ndarray:
        if self.fixed_size and self.fixed_size != image.shape[1:3]:
            raise UserError(
                f"{self.path}: takes images of {self.fixed_size[0]}×{self.fixed_size[1]} "
                f"pixels only. Received: {image.shape[1]}×{image.shape[2]}."
            )
        if self._allocated != image.shape:
            self._interpreter.resize_tensor_input(self._input, image.shape, strict=True)
            self._interpreter.allocate_tensors()
            self._allocated = image.shape
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(image))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)
