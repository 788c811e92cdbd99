"""The client side of a tf.data service: checks and job names."""

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
    """Parses "grpc://host:port" into host and port; raises a `UserError` for anything else."""
    match = re.fullmatch(r"grpc://(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})", address or "")
    if not match or not 1 <= int(match[2]) <= 65535:
        raise UserError(
            f"--{flag} must be the address of the dispatcher, grpc://host:port, as printed by "
            f"python -m datasets service --role=dispatcher. Received: {address!r}"
        )
    return match[1].strip("[]"), int(match[2])


def check_flags(address: str | None, prepared_dir: str | None) -> None:
    """Raises a `UserError` for a malformed address, or if `prepared_dir` is missing."""
    if address is None:
        return
    dispatcher_address(address)
    if not prepared_dir:
        raise UserError(
            "--data_service needs --prepared_dir: the service's workers read the images from "
            "shards there.\nUse a folder that has the same path on their machines."
        )


def wait_for_dispatcher(address: str, timeout: float, flag: str = "data_service") -> None:
    """Waits until the dispatcher answers; raises a `UserError` after `timeout` seconds."""
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
                f"--port={port} --all_interfaces, or correct the address."
            )
        time.sleep(_POLL_SECONDS)


def check_service(address: str, prepared: PreparedSet, timeout: float) -> None:
    """Lets every worker of the service read the first record of a shard.

    Raises:
        UserError: if the dispatcher or a worker does not answer within `timeout` seconds, or a
            worker cannot read the shard.
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
            # Only the text: the error would keep the iterator, and thus the connection, alive.
            failure.append(str(error.message).splitlines()[0])

    # TensorFlow would wait for workers forever.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(max(timeout - (time.monotonic() - started), 1.0))
    if thread.is_alive():
        raise UserError(
            f"--data_service={address}: no worker of the service answered within {timeout:.0f} s.\n"
            f"Start one with python -m datasets service --role=worker "
            f"--dispatcher={address} --all_interfaces, with --host if it runs on another machine."
        )
    if failure:
        raise _unreadable(address, file, prepared, failure[0])


def _unreadable(address: str, file: str, prepared: ImageSet, reason: str) -> UserError:
    if "No such file" in reason or "ermission denied" in reason:
        advice = "Expected the same path of --prepared_dir on the workers' machines."
    else:
        advice = how_to_mend(prepared)
    return UserError(
        f"--data_service={address}: a worker of the service cannot read {file} "
        f"({reason[-200:]}).\n{advice}"
    )


def new_job_name(config) -> str:
    """Returns a new job name, which all workers of the run share; each must make this call.

    Args:
        config: a `TrainConfig` whose devices are started.
    """
    name = f"gradnet-{uuid.uuid4().hex}"
    if config.strategy != "multiworker":
        return name
    from gradnet_tf.training.engines.engine_tensorflow import make_strategy
    from gradnet_tf.training.workers.cluster import cluster_for
    from gradnet_tf.training.workers.team_tensorflow import TensorFlowTeam

    strategy = make_strategy(config.strategy, config.cpu_replicas, config.worker_timeout)
    return TensorFlowTeam(strategy, cluster_for(config.strategy)).share(name)
