"""Runs a SavedModel through TensorFlow."""

import re
from pathlib import Path

import numpy as np

from gradnet_tf.runtimes import SIGMA
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import without_wildcards

SIGNATURE = "serving_default"

#: Operations with a state that stays within the graph; others may write files or open sockets.
_INSIDE = re.compile(
    r"VarHandleOp|VariableV2|VarIsInitializedOp|(Read|Assign(Add|Sub)?)Variable\w*|Assign|"
    r"DisableCopyOnRead|(Stateful)?PartitionedCall|(Stateless)?(If|While|Case)|Assert|ResourceGather|"
    r"(Stateful)?(Random|Truncated|StandardNormal|Uniform|Rng)\w*|XlaCallModule"
)
#: Operations without a state that reach outside nevertheless.
_OUTSIDE = re.compile(
    r"File|Dataset|Reader|PyFunc|Proto|Checkpoint|Remap|Vocab|Socket|Rpc|Save|Restore|Dump|Debug|"
    r"^Copy(Host)?$|Send$|Recv$"
)
#: What writes and reads the variables, in each SavedModel, but runs only if a program asks for it.
_SAVERS = re.compile(r"__inference__traced_(save|restore)_\d+")
_SAVING = ("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename")


class SavedModelRunner:
    """The float signature of a SavedModel as a function from arrays to arrays.

    Args:
        folder: holds saved_model.pb.
        trusted: whether its graph may read and write files and reach other machines: parts of a
            graph run when it is loaded.

    Raises:
        UserError: the graph could do that and is not trusted, the folder does not load, or its
            signature does not have one float32 image batch, an optional noise level per image, and
            one output.
    """

    runtime = "saved_model"
    #: A graph does not say whether it does; that of a GradNet does.
    averages_picture = True
    model = None
    parameters = None

    def __init__(self, folder: Path, trusted: bool = False):
        import tensorflow as tf

        try:
            # The signature has only weak references to its variables, so keep the loaded object.
            with without_wildcards(folder) as plain:
                if not trusted:
                    _require_harmless(folder, str(plain))
                self._loaded = tf.saved_model.load(str(plain))
        except UserError:
            raise
        except (OSError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{folder}: the SavedModel does not load: {reason}") from error
        signature = self._loaded.signatures.get(SIGNATURE)
        inputs = {} if signature is None else signature.structured_input_signature[1]
        self.needs_sigma = SIGMA in inputs
        specs = [spec for name, spec in inputs.items() if name != SIGMA]
        outputs = list(signature.structured_outputs) if signature else []
        is_image = len(specs) == 1 and specs[0].dtype == tf.float32 and specs[0].shape.rank == 4
        if not is_image or len(outputs) != 1:
            raise UserError(
                f"{folder}: expected a signature {SIGNATURE!r} with one float32 input "
                f"(N, H, W, C) and one output. Received: {specs or 'no such signature'}; outputs: "
                f"{', '.join(sorted(outputs))[:100] or 'none'}."
            )
        self._signature = signature
        self._input = next(name for name in inputs if name != SIGMA)
        (self._output,) = outputs
        self._tf = tf
        self.channels = specs[0].shape[-1]

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`.

        Raises:
            UserError: the graph refuses the images, such as ones above its pixel limit.
            MemoryError: there is not enough memory.
        """
        inputs = {self._input: self._tf.constant(images)}
        if self.needs_sigma:
            inputs[SIGMA] = self._tf.constant(sigma, self._tf.float32)
        try:
            return self._signature(**inputs)[self._output].numpy()
        except self._tf.errors.ResourceExhaustedError as error:
            raise MemoryError(f"the SavedModel could not run {images.shape}") from error
        except self._tf.errors.OpError as error:
            raise UserError(f"the SavedModel refuses the images: {reason_of(error)}") from error

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> None:
        """A SavedModel does not expose its naive estimate."""
        return None


def _require_harmless(folder: Path, plain: str) -> None:
    """Raises `UserError` for a graph with operations that reach outside of it."""
    from tensorflow.python.framework import op_def_registry
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    found = set()
    metas = parse_saved_model(plain).meta_graphs
    # TensorFlow 2 runs the functions of such a file alone, and gives its savers the path. Of other
    # files it runs the nodes around the functions, too, which could call a saver with any path.
    runs_functions = len(metas) == 1 and metas[0].HasField("object_graph_def")
    for graph in (meta.graph_def for meta in metas):
        parts = [("", graph.node, [])]
        for function in graph.library.function:
            arguments = [each.name for each in function.signature.input_arg]
            parts.append((function.signature.name, function.node_def, arguments))
        for name, nodes, arguments in parts:
            # A saver is told the file by whoever calls it, and a graph must not.
            is_saver = _SAVERS.fullmatch(name) and arguments[:1] == ["file_prefix"]
            for node in nodes:
                definition = op_def_registry.get(node.op)
                stateful = definition is not None and definition.is_stateful
                if _INSIDE.fullmatch(node.op) if stateful else not _OUTSIDE.search(node.op):
                    calls = [each.func.name for each in node.attr.values() if each.func.name]
                    is_checked = name or not runs_functions
                    found |= {each for each in calls if is_checked and _SAVERS.fullmatch(each)}
                elif not (is_saver and node.op in _SAVING):
                    found.add(node.op)
    if found:
        raise UserError(
            f"{folder}: the SavedModel has operations that read or write files, run scripts or "
            f"reach other machines: {', '.join(sorted(found)[:5])}.\nExpected a network alone; "
            "--trust-model (trust_model=True in Python) runs it nevertheless."
        )


def reason_of(error) -> str:
    """Returns the line of a TensorFlow error that gives the reason.

    It is between the location in the graph and the name of the node.
    """
    lines = [line.strip() for line in error.message.splitlines()]
    ends = [n for n, line in enumerate(lines) if line.startswith("[[{{node")]
    said = [line for line in lines[: ends[0] if ends else 1] if line]
    return said[-1] if said else type(error).__name__
