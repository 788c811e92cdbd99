r"""Runs a part of a tf.data service, which makes training examples for train.py --data_service.

Example:
  python -m datasets.commands.service --role=dispatcher --port=5050
  python -m datasets.commands.service --role=worker --dispatcher=grpc://host:5050 --port=5051
One dispatcher shares the work out to any number of workers. SIGTERM and Ctrl-C end either.
"""

import contextlib
import os
import signal
import threading

from absl import flags

from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import EXIT_OK, UserError
from gradnet_tf.utils.quiet import quiet_native_logs

FLAGS = flags.FLAGS
ROLES = ("dispatcher", "worker")
# A worker that is silent for so long gets no more work.
_WORKER_TIMEOUT_MS = 60_000
_HEARTBEAT_MS = 10_000

flags.DEFINE_string("role", None, "one of " + ", ".join(ROLES))
flags.DEFINE_integer("port", 0, "port to serve at; 0 takes a free one and prints it")
flags.DEFINE_string("work_dir", None, "dispatcher: keeps its state here, to go on after a restart")
flags.DEFINE_string("dispatcher", None, "worker: the dispatcher, grpc://host:port")
flags.DEFINE_string("host", "localhost", "worker: the name by which training reaches this machine")
flags.DEFINE_float("timeout", 300.0, "worker: seconds to wait for the dispatcher")


def check_flags() -> None:
    """Raises a `UserError` for flags that do not make a server."""
    from datasets.shards.service_client import dispatcher_address

    if FLAGS.role not in ROLES:
        raise UserError(f"`role` must be one of {', '.join(ROLES)}. Received: role={FLAGS.role}")
    if not 0 <= FLAGS.port <= 65535:
        raise UserError(f"`port` must be in [0, 65535]. Received: port={FLAGS.port}")
    if FLAGS.timeout <= 0:
        raise UserError(f"`timeout` must be greater than 0. Received: timeout={FLAGS.timeout}")
    if FLAGS.role == "worker":
        dispatcher_address(FLAGS.dispatcher, "dispatcher")
    wrong = "dispatcher" if FLAGS.role == "dispatcher" else "work_dir"
    if FLAGS[wrong].value is not None:
        raise UserError(f"--{wrong} does not belong to --role={FLAGS.role}.")


def start_server():
    """Starts the server; returns it and what to say about it."""
    import tensorflow as tf

    service = tf.data.experimental.service
    if FLAGS.role == "dispatcher":
        server = service.DispatchServer(
            service.DispatcherConfig(
                port=FLAGS.port,
                work_dir=FLAGS.work_dir,
                fault_tolerant_mode=FLAGS.work_dir is not None,
                worker_timeout_ms=_WORKER_TIMEOUT_MS,
            )
        )
        return server, f"dispatcher ready at {server.target}"
    from datasets.shards.service_client import wait_for_dispatcher

    wait_for_dispatcher(FLAGS.dispatcher, FLAGS.timeout, "dispatcher")
    server = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=FLAGS.dispatcher.removeprefix("grpc://"),
            worker_address=f"{FLAGS.host}:%port%",
            port=FLAGS.port,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            dispatcher_timeout_ms=max(int(1000 * FLAGS.timeout), 1),
        )
    )
    return server, f"worker ready for {FLAGS.dispatcher}"


def main() -> None:
    """Serves until a signal asks for the end."""
    check_flags()
    with quiet_native_logs():
        import tensorflow as tf
    try:
        server, said = start_server()  # It serves while it is referred to.
    except (tf.errors.OpError, RuntimeError) as error:
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise UserError(
            f"the {FLAGS.role} could not start at port {FLAGS.port}: {reason}\n"
            "Give a free --port (0 takes any), and the dispatcher's address to a worker."
        ) from error
    # Not before: a start that waits for the dispatcher ends by the signals' usual effect.
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print(said, flush=True)
    stop.wait()
    with contextlib.suppress(OSError):  # Whoever read its words may be gone.
        print(f"{FLAGS.role} stopped", flush=True)
    # Nothing is left to save: a dispatcher writes its state as it changes. TensorFlow's own stop
    # would hold up a worker whose dispatcher is gone for minutes, and Python with it.
    os._exit(EXIT_OK)


if __name__ == "__main__":
    run_script(main, __doc__)
