"""Serves an exported SavedModel on this machine as TF Serving would: a stand-in, for first tries.

Example:
  python -m tools.stand_in --model_dir=exported/saved_model --rest_port=8501
It listens on 127.0.0.1 alone and has neither encryption nor batching. For users' traffic, run TF
Serving itself: docs/serving.md.
"""

import os
import signal
import threading
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags  # noqa: E402

from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402
from gradnet_tf.utils.quiet import quiet_native_logs  # noqa: E402

FLAGS = flags.FLAGS

flags.DEFINE_string("model_dir", None, "folder of versions, such as exported/saved_model")
flags.DEFINE_string("model_name", "denoiser", "what requests call the model")
flags.DEFINE_integer("rest_port", 8501, "port of the REST interface; 0 takes a free one")
flags.DEFINE_integer("grpc_port", 8500, "port of the gRPC interface; 0 takes a free one")
flags.mark_flag_as_required("model_dir")


def main() -> int:
    """Loads the model, serves until it is interrupted."""
    with quiet_native_logs():
        from tools.stand_in_grpc import start_grpc
        from tools.stand_in_model import Servable
        from tools.stand_in_rest import start_rest

        servable = Servable(Path(FLAGS.model_dir), FLAGS.model_name)
    try:
        rest, rest_port = start_rest(servable, FLAGS.rest_port)
        grpc, grpc_port = start_grpc(servable, FLAGS.grpc_port)
    except (OSError, OverflowError, RuntimeError) as error:
        raise UserError(
            f"--rest_port={FLAGS.rest_port} --grpc_port={FLAGS.grpc_port}: cannot listen on "
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
    run_script(main, __doc__)
