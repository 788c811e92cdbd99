"""The workers of `MultiWorkerMirroredStrategy`: start, messages, and lost workers."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from gradnet_tf.training.workers.cluster import Cluster, read_cluster, wait_for_workers
from gradnet_tf.training.workers.team import Team
from gradnet_tf.utils.errors import Interrupted, UserError

# TensorFlow's errors for a worker that ended, does not respond or was restarted.
_LOSSES = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnavailableError,
)


def _first_cause(error: tf.errors.OpError) -> str:
    """Returns the informative line of a long TensorFlow message."""
    lines = [line.strip() for line in str(error.message).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Collective ops is aborted by:")]
    return (causes or lines or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def losses_reported() -> Iterator[None]:
    """Turns TensorFlow's errors about a lost worker into one message and exit code 75.

    Raises:
        Interrupted: the workers may be in different states, so nothing is saved; the run resumes
            from its last checkpoint.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not isinstance(error, _LOSSES) and "Collective ops" not in str(error.message):
            raise
        raise Interrupted(
            f"another worker of this run was lost or does not respond ({_first_cause(error)}).\n"
            "The run stops here; the same command on every worker resumes at the last checkpoint."
        ) from error


def connect_workers(timeout: float) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Returns the strategy of the environment's cluster once all its workers are connected.

    Args:
        timeout: seconds to wait for the others, now and later in every exchange.

    Raises:
        UserError: the environment does not describe a valid cluster, or TensorFlow is already
            initialized.
        Interrupted: a worker does not appear in time.
    """
    cluster = read_cluster()
    wait_for_workers(cluster, timeout)
    os.environ["TF_CONFIG"] = cluster.tf_config()
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
    try:
        with losses_reported():
            return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise UserError(
            "--strategy=multiworker must start before TensorFlow is initialized.\n"
            "Call `start_devices` first."
        ) from error


class TensorFlowTeam(Team):
    """Messages over the strategy's own collectives."""

    def __init__(self, strategy: tf.distribute.MultiWorkerMirroredStrategy, cluster: Cluster):
        self.index, self.size = cluster.index, cluster.size
        self.strategy = strategy
        self._reduce = tf.function(self._sum_over_workers)

    @property
    def local_replicas(self) -> int:
        """Model copies on each worker."""
        return self.strategy.num_replicas_in_sync // self.size

    def _sum_over_workers(self, values):
        def replica_sum(values):
            context = tf.distribute.get_replica_context()
            # One replica per worker.
            contributes = tf.equal(context.replica_id_in_sync_group % self.local_replicas, 0)
            own = tf.where(contributes, values, tf.zeros_like(values))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        sums = self.strategy.run(replica_sum, args=(values,))
        return self.strategy.experimental_local_results(sums)[0]

    def _add_up(self, values: np.ndarray) -> np.ndarray:
        # Each shape is traced once; calling the function would warn about retracing.
        reduce = self._reduce.get_concrete_function(tf.TensorSpec(values.shape, values.dtype))
        with losses_reported():
            return reduce(tf.constant(values)).numpy()

    def _from_chief(self, values: np.ndarray) -> np.ndarray:
        # The others contribute zeros.
        return self._add_up(values if self.chief else np.zeros_like(values))

    def sums(self, values: Sequence[float]) -> list[float]:
        return self._add_up(np.array(values, np.float64)).tolist()

    def share_arrays(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        arrays = [np.asarray(array) for array in arrays]
        shared: list[np.ndarray] = [np.empty(0)] * len(arrays)
        # One message for each dtype.
        for dtype in sorted({array.dtype for array in arrays}, key=str):
            places = [place for place, array in enumerate(arrays) if array.dtype == dtype]
            flat = self._from_chief(np.concatenate([arrays[place].ravel() for place in places]))
            ends = np.cumsum([arrays[place].size for place in places])
            for place, part in zip(places, np.split(flat, ends[:-1]), strict=True):
                shared[place] = part.reshape(arrays[place].shape)
        return shared

    def share(self, value):
        data = json.dumps(value).encode() if self.chief else b""
        length = int(self.sums([len(data)])[0])
        codes = np.frombuffer(data, np.uint8) if self.chief else np.zeros(length)
        # Collectives do not support bytes.
        return json.loads(self._from_chief(codes.astype(np.int32)).astype(np.uint8).tobytes())

    def check_equal(self, what: str, value) -> None:
        """Checks that all workers have the chief's JSON value.

        Raises:
            UserError: on every worker, if one of them has a different value.
        """
        differs = self.share(value) != json.loads(json.dumps(value))
        others = int(self.sums([differs])[0])
        if others:
            raise UserError(
                f"{others} of {self.size} workers have a different {what} than worker 0"
                + (", including this one.\n" if differs else ".\n")
                + "Start the same command with the same data on every worker."
            )
