"""Runs a server of a tf.data service, which makes training examples for train.py --data_service.

One dispatcher distributes the work to any number of workers. SIGTERM and Ctrl-C stop either.
"""

import contextlib
import dataclasses
import os
import signal
import threading

from gradnet_tf.utils.errors import EXIT_OK, UserError
from gradnet_tf.utils.framework_start import quick_start, quiet_native_logs
from gradnet_tf.utils.options import option

ROLES = ("dispatcher", "worker")


@dataclasses.dataclass(frozen=True)
class ServiceOptions:
    """Options of `service`.

    Attributes:
        role: the kind of server.
        port: port to listen on; 0 takes a free one and prints it.
        work_dir: dispatcher: folder for its state, to resume after a restart.
        dispatcher: worker: the dispatcher, grpc://host:port.
        host: worker: the name by which training reaches this machine.
        timeout: worker: seconds to wait for the dispatcher.
        all_interfaces: required, because TensorFlow's servers listen on all network interfaces and
            serve anybody without authentication: start them on a network that you trust, behind a
            firewall.
    """

    role: str | None = option(None, names=ROLES)
    port: int = 0
    work_dir: str | None = None
    dispatcher: str | None = None
    host: str = "localhost"
    timeout: float = 300.0
    all_interfaces: bool = False


# A worker that is silent for this long gets no more work.
_WORKER_TIMEOUT_MS = 60_000
_HEARTBEAT_MS = 10_000


def check_flags(options: ServiceOptions) -> None:
    """Raises a `UserError` for invalid combinations of flags."""
    from datasets.pipeline.service_client import dispatcher_address

    if options.role not in ROLES:
        raise UserError(f"`role` must be one of {', '.join(ROLES)}. Received: role={options.role}")
    if not 0 <= options.port <= 65535:
        raise UserError(f"`port` must be in [0, 65535]. Received: port={options.port}")
    if options.timeout <= 0:
        raise UserError(f"`timeout` must be greater than 0. Received: timeout={options.timeout}")
    if options.role == "worker":
        dispatcher_address(options.dispatcher, "dispatcher")
    wrong = "dispatcher" if options.role == "dispatcher" else "work_dir"
    if getattr(options, wrong) is not None:
        raise UserError(f"--{wrong} does not apply to --role={options.role}.")
    if not options.all_interfaces:
        # Their address cannot be chosen.
        raise UserError(
            "TensorFlow's data service listens on all network interfaces and serves anybody.\n"
            "Expected --all_interfaces, on a network that you trust and behind a firewall."
        )


def start_server(options: ServiceOptions):
    """Starts the server; returns it and a message."""
    import tensorflow as tf

    service = tf.data.experimental.service
    if options.role == "dispatcher":
        server = service.DispatchServer(
            service.DispatcherConfig(
                port=options.port,
                work_dir=options.work_dir,
                fault_tolerant_mode=options.work_dir is not None,
                worker_timeout_ms=_WORKER_TIMEOUT_MS,
            )
        )
        return server, f"dispatcher ready at {server.target}"
    from datasets.pipeline.service_client import wait_for_dispatcher

    wait_for_dispatcher(options.dispatcher, options.timeout, "dispatcher")
    server = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=options.dispatcher.removeprefix("grpc://"),
            worker_address=f"{options.host}:%port%",
            port=options.port,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            dispatcher_timeout_ms=max(int(1000 * options.timeout), 1),
        )
    )
    return server, f"worker ready for {options.dispatcher}"


def serve(options: ServiceOptions) -> None:
    """Serves until SIGTERM or SIGINT, then ends the process.

    Raises:
        UserError: for invalid options, or if the server cannot start.
    """
    check_flags(options)
    with quiet_native_logs(), quick_start():
        import tensorflow as tf
    try:
        server, message = start_server(options)  # It serves as long as it is referenced.
    except (tf.errors.OpError, RuntimeError) as error:
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise UserError(
            f"the {options.role} could not start at port {options.port}: {reason}\n"
            "Use a free --port (0 takes any); a worker also needs the dispatcher's address."
        ) from error
    # Only now, so that a worker that waits for the dispatcher can be interrupted as usual.
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print(message, flush=True)
    stop.wait()
    with contextlib.suppress(OSError):  # The reader of the pipe may be gone.
        print(f"{options.role} stopped", flush=True)
    # There is nothing to save: a dispatcher writes its state as it changes. TensorFlow's own stop
    # would block a worker whose dispatcher is gone for minutes.
    os._exit(EXIT_OK)
