"""Client side of a tf.data service: checks, and the name of the job."""

import re
import socket
import threading
import time
import uuid

from datasets.sets.image_set import ImageSet
from datasets.shards.shard_files import PreparedSet, how_to_mend
from gradnet_tf.utils.errors import UserError

_POLL_SECONDS = 0.5


def dispatcher_address(address: str, flag: str = "data_service") -> tuple[str, int]:
    """Reads "grpc://host:port".

    Returns:
        Host and port.

    Raises:
        UserError: for anything else.
    """
    match = re.fullmatch(r"grpc://(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})", address or "")
    if not match or not 1 <= int(match[2]) <= 65535:
        raise UserError(
            f"--{flag} must be the dispatcher's address, grpc://host:port, as python -m "
            f"datasets service --role=dispatcher prints it. Received: {address!r}"
        )
    return match[1].strip("[]"), int(match[2])


def check_flags(address: str | None, prepared_dir: str | None) -> None:
    """Checks what can be checked before any data is read.

    Raises:
        UserError: for a malformed address, or none of the shards it needs.
    """
    if address is None:
        return
    dispatcher_address(address)
    if not prepared_dir:
        raise UserError(
            "--data_service needs --prepared_dir: the service's workers read the images from "
            "shards there.\nGive a folder that they see under the same path."
        )


def wait_for_dispatcher(address: str, timeout: float, flag: str = "data_service") -> None:
    """Waits until the dispatcher's address answers.

    Raises:
        UserError: when nothing does within `timeout` seconds.
    """
    host, port = dispatcher_address(address, flag)
    until, reason = time.monotonic() + timeout, "no answer"
    while True:
        left = until - time.monotonic()
        try:
            return socket.create_connection((host, port), max(min(left, 5.0), 0.1)).close()
        except OSError as error:
            reason = error.strerror or str(error)
        if time.monotonic() + _POLL_SECONDS > until:
            raise UserError(
                f"--{flag}={address}: the dispatcher was not reached within {timeout:.0f} s "
                f"({reason}).\nStart it with python -m datasets service --role=dispatcher "
                f"--port={port}, or correct the address."
            )
        time.sleep(_POLL_SECONDS)


def check_service(address: str, prepared: PreparedSet, timeout: float) -> None:
    """Has every worker of the service read the first record of a shard.

    Raises:
        UserError: when the dispatcher or a worker does not answer within
            `timeout` seconds, or a worker cannot read the shard.
    """
    import tensorflow as tf

    started = time.monotonic()
    wait_for_dispatcher(address, timeout)
    file, failure = str(prepared.files[0]), []
    service = tf.data.experimental.service

    def read():
        dataset = tf.data.TFRecordDataset(file).take(1).map(tf.strings.length)
        policy = service.ShardingPolicy.OFF
        try:
            for _ in dataset.apply(service.distribute(policy, address, compression=None)):
                pass
        except tf.errors.OpError as error:
            # Only the text, because the error would keep the iterator and so the connection alive.
            failure.append(str(error.message).splitlines()[0])

    # TensorFlow waits for workers without a limit of its own.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(max(timeout - (time.monotonic() - started), 1.0))
    if thread.is_alive():
        raise UserError(
            f"--data_service={address}: no worker of the service answered within {timeout:.0f} s.\n"
            f"Start one with python -m datasets service --role=worker "
            f"--dispatcher={address}, and see --host there if it runs on another machine."
        )
    if failure:
        raise _unreadable(address, file, prepared, failure[0])


def _unreadable(address: str, file: str, prepared: ImageSet, reason: str) -> UserError:
    if "No such file" in reason or "ermission denied" in reason:
        advice = "Expected --prepared_dir under the same path on the workers' machines as here."
    else:
        advice = how_to_mend(prepared)
    return UserError(
        f"--data_service={address}: a worker of the service cannot read {file} "
        f"({reason[-200:]}).\n{advice}"
    )


def new_job_name(config) -> str:
    """Returns a job name that no earlier start of the run used.

    All workers of a run get the chief's name; each of them must make this call.

    Args:
        config: a `TrainConfig`; its devices are started.
    """
    name = f"gradnet-{uuid.uuid4().hex}"
    if config.strategy != "multiworker":
        return name
    from gradnet_tf.training.engines.engine_tensorflow import make_strategy
    from gradnet_tf.training.workers.cluster import cluster_for
    from gradnet_tf.training.workers.team_tensorflow import TensorFlowTeam

    strategy = make_strategy(config.strategy, config.cpu_replicas, config.worker_timeout)
    return TensorFlowTeam(strategy, cluster_for(config.strategy)).share(name)
