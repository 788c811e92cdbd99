"""A stand-in for TF Serving: serves an exported SavedModel on this machine, for first tests.

Example:
  python -m tools.stand_in --model_dir=exported/saved_model --rest_port=8501
It listens only on 127.0.0.1, without encryption or batching. For production, run TF Serving itself:
docs/serving.md.
"""

import dataclasses
import os
import signal
import threading
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402
from gradnet_tf.utils.framework_start import quick_start, quiet_native_logs  # noqa: E402
from gradnet_tf.utils.options import CommandLine, Given


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        model_dir: folder of versions, such as exported/saved_model.
        model_name: name of the model in requests.
        rest_port: port of the REST interface; 0 takes a free one.
        grpc_port: port of the gRPC interface; 0 takes a free one.
    """

    model_dir: str
    model_name: str = "denoiser"
    rest_port: int = 8501
    grpc_port: int = 8500


COMMAND_LINE = CommandLine(Options)


def main(given: Given) -> int:
    """Loads the model and serves until interrupted."""
    options = given.make(Options)
    with quiet_native_logs(), quick_start():
        from tools.stand_in_grpc import start_grpc
        from tools.stand_in_model import Servable
        from tools.stand_in_rest import start_rest

        servable = Servable(Path(options.model_dir), options.model_name)
    try:
        rest, rest_port = start_rest(servable, options.rest_port)
        grpc, grpc_port = start_grpc(servable, options.grpc_port)
    except (OSError, OverflowError, RuntimeError) as error:
        raise UserError(
            f"--rest_port={options.rest_port} --grpc_port={options.grpc_port}: cannot listen on "
            f"127.0.0.1: {error}"
        ) from error
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    print(f"stand-in for TF Serving: {servable.name}, version {servable.version}")
    print(f"REST http://127.0.0.1:{rest_port}/v1/models/{servable.name}:predict")
    print(f"gRPC 127.0.0.1:{grpc_port}", flush=True)
    stopped.wait()
    rest.shutdown()
    grpc.stop(grace=5).wait()
    return 0


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
