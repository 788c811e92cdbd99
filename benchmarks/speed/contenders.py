"""The same network in every runtime and precision, ours and others', as functions."""

import dataclasses
import io
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.runtimes.choose_runtime import COMPUTES, is_installed
from gradnet_tf.tiling.machine import allowed_cores
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError

WHOLE = TileConfig("whole", pooling="whole")


@dataclasses.dataclass(frozen=True)
class Contender:
    """A way to run the network.

    Attributes:
        name: such as "litert float32" or "PyTorch bfloat16".
        precision: "float32", "bfloat16" or "int8".
        is_ours: whether `--runtime` and `--precision` choose it; the others are peers.
        run: maps float32 (1, H, W, C) to the denoised picture.
        tiles: the same in tiles of the size that `gradnet denoise` takes; `None` for peers.
    """

    name: str
    precision: str
    is_ours: bool
    run: Callable[[np.ndarray], np.ndarray]
    tiles: Callable[[np.ndarray], np.ndarray] | None = None


def contenders(model: str, keras) -> Iterator[Contender]:
    """Yields what is installed, ours first; what does not run is named on standard error.

    Args:
        model: name of shipped weights.
        keras: the Keras network of these weights, for the peers.
    """
    for runtime in ("litert", "openvino", "keras"):
        for precision in COMPUTES[runtime]:
            if precision.startswith("mixed") or not is_installed(runtime):
                continue
            try:
                denoiser = load_denoiser(model, precision, runtime=runtime)
            except UserError as error:
                note(str(error).splitlines()[0])
                continue
            yield _ours(f"{runtime} {precision}", precision, denoiser)
    for name, peers in (
        ("OpenVINO", lambda: _openvino(keras)),
        ("PyTorch", lambda: _torch(model, keras)),
        ("ONNX Runtime", lambda: _onnx(model, keras)),
    ):
        try:
            yield from peers()
        except Exception as error:  # A peer that fails, in its own way, is left out.
            note(f"without {name}: {(str(error) or repr(error)).splitlines()[0][:80]}")


def _ours(name: str, precision: str, denoiser) -> Contender:
    return Contender(
        name,
        precision,
        True,
        lambda images: denoiser.denoise(images, None, WHOLE),
        lambda images: denoiser.denoise(images),
    )


def _twin(model: str, keras):
    """Returns the network in PyTorch, channels last; a ValueError for unknown architectures."""
    import torch

    from benchmarks.speed.torch_gradnet import build_twin, load_keras_weights
    from gradnet_tf import weights

    card = weights.find_card(model)
    twin = build_twin(card["preset"], card["channels"])
    load_keras_weights(twin, [np.asarray(each) for each in keras.get_weights()])
    return twin.eval().to(memory_format=torch.channels_last)


def _torch(model: str, keras) -> Iterator[Contender]:
    import torch

    twin = _twin(model, keras)

    def runner(module, half: bool):
        def run(images):
            placed = torch.from_numpy(images).permute(0, 3, 1, 2)
            placed = placed.contiguous(memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                found = module(placed).clip(0, 1)
            return found.float().permute(0, 2, 3, 1).contiguous().numpy()

        return run

    yield Contender("PyTorch float32", "float32", False, runner(twin, False))
    yield Contender("PyTorch bfloat16", "bfloat16", False, runner(twin, True))


def _openvino(keras_model) -> Iterator[Contender]:
    """Yields OpenVINO with the network as Keras exports it, whole and nothing left out."""
    import keras
    import openvino

    def denoise(images):
        return keras.ops.clip(keras_model(images, training=False), 0.0, 1.0)

    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        archive.track(keras_model)
        shape = (1, None, None, keras_model.channels)
        signature = [keras.InputSpec(shape=shape, dtype="float32", name="images")]
        archive.add_endpoint("serving_default", denoise, input_signature=signature)
        archive.write_out(folder, verbose=False)
        network = openvino.convert_model(folder)
    for precision, hint in (("float32", "f32"), ("bfloat16", "bf16")):
        compiled = openvino.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": hint})
        request = compiled.create_infer_request()

        def run(images, request=request):
            return np.array(request.infer([np.ascontiguousarray(images)])[0])

        yield Contender(f"OpenVINO {precision}, as exported", precision, False, run)


def _onnx(model: str, keras) -> Iterator[Contender]:
    """Yields ONNX Runtime with the network that PyTorch exports."""
    import onnxruntime
    import torch

    file, sizes = io.BytesIO(), {2: "height", 3: "width"}
    torch.onnx.export(
        _twin(model, keras),
        (torch.zeros(1, keras.channels, 64, 64),),
        file,
        input_names=["images"],
        output_names=["denoised"],
        dynamic_axes={"images": sizes, "denoised": sizes},
        dynamo=False,
        opset_version=17,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = allowed_cores()  # It would use all of the machine's.
    session = onnxruntime.InferenceSession(file.getvalue(), options)

    def run(images):
        given = {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))}
        return np.clip(session.run(None, given)[0].transpose(0, 2, 3, 1), 0, 1)

    yield Contender("ONNX Runtime float32", "float32", False, run)
