r"""Times each operation of a .tflite file by itself: which layers a picture's time goes into.

Example:
  python -m benchmarks.speed.layers --model=gradnet_small_color_blind
  python -m benchmarks.speed.layers --model=gradnet_small_color_blind_int8 --threads=1
Each operation becomes a file of its own with the shapes that it has for a picture of --side pixels,
and LiteRT runs these files and the whole one in turn. Operations that are alike are timed once.
Printed are arithmetic, bytes read and written, and the best time, with the rates that follow, below
what this machine does at best: a matrix product of 2048³ in float32, and a copy of 64 MB.
"""

import copy
import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np

from benchmarks.measuring import best_times
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.framework_start import quiet_native_logs
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        model: name of a shipped .tflite file, with `_int8` at its end for 8 bits, or a path.
        side: height and width of the picture.
        threads: threads of the interpreter, and processor cores of the whole measurement.
        rounds: number of runs of each operation, of which the best counts.
        rows: print only this many kinds of operation, the longest first.
    """

    model: str = "gradnet_small_color_blind_int8"
    side: int = option(256, least=16, most=2048)
    threads: int = option(2, least=1)
    rounds: int = option(12, least=1)
    rows: int = option(16, least=1)


COMMAND_LINE = CommandLine(Options)
_PRODUCT_SIDE, _COPIED = 2048, 64_000_000
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
#: Bytes of a value by the name of its type.
_SIZES = {"float32": 4, "float16": 2, "int8": 1, "int32": 4, "int64": 8, "bool": 1}


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation of a .tflite file as a file of its own.

    Attributes:
        name: kind, types and shapes; equal for operations that take equally long.
        content: the .tflite file; its inputs are all tensors that are not constants.
        macs: multiply-accumulates of a convolution, 0 for others.
        moved: bytes of inputs, constants and outputs.
    """

    name: str
    content: bytes
    macs: int
    moved: int


def operations_of(content: bytes, side: int) -> list[Operation]:
    """Cuts the graph that a .tflite file has for whole pictures into its operations.

    Args:
        content: the file.
        side: height and width of the picture.

    Returns:
        All operations that compute with the picture, in the order of the file. Those that compute
        shapes, or read constants of 16 bits once at the start, are left out.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph, found = model.subgraphs[0], []
    shapes, integers = _shapes(content, side)
    names = {value: key for key, value in vars(schema.BuiltinOperator).items()}
    types = {value: key.lower() for key, value in vars(schema.TensorType).items()}
    constants = {
        index: model.buffers[tensor.buffer].data
        for index, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None
    } | integers
    for operation in graph.operators:
        code = model.operatorCodes[operation.opcodeIndex]
        kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs, outputs = [i for i in operation.inputs if i >= 0], list(operation.outputs)
        if kind == "DEQUANTIZE" and inputs[0] in constants:
            halves = np.frombuffer(bytes(constants[inputs[0]]), np.float16)
            constants[outputs[0]] = halves.astype(np.float32).view(np.uint8)
            continue
        if types[graph.tensors[outputs[0]].type] == "int32":
            continue
        used = list(dict.fromkeys([*inputs, *outputs]))
        part, buffers = schema.SubGraphT(), [schema.BufferT()]
        part.tensors, part.operators = [], [copy.copy(operation)]
        for index in used:
            tensor = copy.copy(graph.tensors[index])
            tensor.shape, tensor.shapeSignature, tensor.buffer = shapes[index], None, 0
            if index in constants:
                tensor.buffer = len(buffers)
                buffers.append(schema.BufferT())
                buffers[-1].data = constants[index]
            part.tensors.append(tensor)
        part.operators[0].opcodeIndex = 0
        part.operators[0].inputs = [used.index(i) if i >= 0 else -1 for i in operation.inputs]
        part.operators[0].outputs = part.outputs = [used.index(i) for i in outputs]
        part.inputs = [used.index(i) for i in dict.fromkeys(inputs) if i not in constants]
        alone = schema.ModelT()
        alone.version, alone.operatorCodes = 3, [code]
        alone.subgraphs, alone.buffers = [part], buffers
        builder = flatbuffers.Builder(0)
        builder.Finish(alone.Pack(builder), b"TFL3")

        kernel = shapes[inputs[1]] if kind in _CONVOLUTIONS else ()
        kinds = dict.fromkeys(types[graph.tensors[i].type] for i in (*inputs[:2], *outputs))
        kinds.pop("int32", None)
        words = [kind.lower(), _sides(kernel[1:3]), ", ".join(kinds)]
        sizes = f"{_sides(shapes[inputs[0]][1:])} → {_sides(shapes[outputs[0]][1:])}"
        moved = sum(shapes[i].prod() * _SIZES[types[graph.tensors[i].type]] for i in used)
        macs = _macs(kind, kernel, shapes[outputs[0]])
        name = f"{' '.join(filter(None, words))}: {sizes}"
        found.append(Operation(name, bytes(builder.Output()), macs, int(moved)))
    return found


def _sides(shape) -> str:
    return "×".join(map(str, shape))


def _macs(kind: str, kernel, result) -> int:
    """Returns the multiply-accumulates of a convolution with a kernel (out, h, w, in)."""
    if not len(kernel):
        return 0
    each = np.prod(kernel[1:] if kind == "CONV_2D" else kernel[1:3])
    return int(np.prod(result) * each)


def _shapes(content: bytes, side: int) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Returns the shapes of all tensors of the first graph, and the bytes of those of integers."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    details = interpreter.get_input_details()[0]
    picture = np.zeros([1, side, side, details["shape"][-1]], np.float32)
    interpreter.resize_tensor_input(details["index"], picture.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], picture)
    # Sizes that a file computes are known only afterwards.
    interpreter.invoke()
    tensors = [each for each in interpreter.get_tensor_details() if each["name"]]
    integers = [each["index"] for each in tensors if each["dtype"] == np.int32]
    return (
        {each["index"]: each["shape"] for each in tensors},
        {index: np.atleast_1d(interpreter.get_tensor(index)).view(np.uint8) for index in integers},
    )


def runner(content: bytes, side: int, threads: int) -> Callable[[], None]:
    """Returns a function that runs a file once with random inputs.

    Args:
        content: the .tflite file.
        side: height and width of inputs without a fixed size.
        threads: threads of the interpreter.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=threads)
    draw = np.random.default_rng(0)
    for details in interpreter.get_input_details():
        if -1 in details["shape_signature"]:
            shape = [1, side, side, details["shape"][-1]]
            interpreter.resize_tensor_input(details["index"], shape)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        values = draw.random(tuple(details["shape"]))
        is_float = details["dtype"] == np.float32
        values = values if is_float else values * 200 - 100
        interpreter.set_tensor(details["index"], values.astype(details["dtype"]))
    interpreter.invoke()
    return interpreter.invoke


def _find(model: str) -> Path:
    from gradnet_tf import weights

    is_path = model.endswith(".tflite")
    path = Path(model) if is_path else weights.FOLDER / "litert" / f"{model}.tflite"
    if not path.is_file():
        raise UserError(
            f"--model={model}: there is no file {path}. Expected a path that ends in .tflite, or "
            f"one of {sorted(each.stem for each in path.parent.glob('*.tflite'))}."
        )
    return path


def main(given: Given) -> None:
    """Prints the table."""
    options = given.make(Options)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    content = _find(options.model).read_bytes()
    with quiet_native_logs():
        operations = operations_of(content, options.side)
        kinds = {each.name: each for each in operations}
        files = [content, *(each.content for each in kinds.values())]
        calls = [runner(each, options.side, options.threads) for each in files]
    draw = np.random.default_rng(0)
    left, right = draw.random((2, _PRODUCT_SIDE, _PRODUCT_SIDE), np.float32)
    source, target = np.ones(_COPIED, np.uint8), np.zeros(_COPIED, np.uint8)
    calls += [lambda: np.matmul(left, right), lambda: np.copyto(target, source)]
    whole, *times, product, copied = best_times(calls, options.rounds)
    count = Counter(each.name for each in operations)
    seconds = {name: count[name] * each for name, each in zip(kinds, times, strict=True)}
    total = sum(seconds.values())
    print(f"{options.model}, {options.side}×{options.side}, {options.threads} threads")
    print(f"matrix product in float32: {_PRODUCT_SIDE**3 / product / 1e9:.0f} GMAC/s; ", end="")
    print(f"copy: {2 * _COPIED / copied / 1e9:.1f} GB/s read and written")
    print(f"the whole file: {whole * 1e3:.1f} ms; one by one: {total * 1e3:.1f} ms\n")
    print("| operation: input → output | number | ms | part | GMAC/s | GB/s |")
    print("|---|---:|---:|---:|---:|---:|")
    ranked = sorted(seconds, key=seconds.get, reverse=True)
    for name in ranked[: options.rows]:
        each, spent = kinds[name], seconds[name]
        rate = f"{count[name] * each.macs / spent / 1e9:.0f}" if each.macs else ""
        moved = f"{count[name] * each.moved / spent / 1e9:.1f}"
        part = f"{spent * 1e3:.2f} | {100 * spent / total:.1f}%"
        print(f"| {name} | {count[name]} | {part} | {rate} | {moved} |")
    rest = ranked[options.rows :]
    if rest:
        spent = sum(seconds[name] for name in rest)
        part = f"{spent * 1e3:.2f} | {100 * spent / total:.1f}%"
        print(f"| the rest | {sum(count[name] for name in rest)} | {part} | | |")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
