r"""Runs `gradnet` with timed phases, or with start-up optimizations disabled: see `startup`.

Example:
  python -m benchmarks.speed.startup_probe '{"watch": true, "without": []}' denoise a.jpg --output=o
Functions are patched when their modules are imported, so the command's own code is unchanged. With
`watch`, the last line of output is JSON: seconds by phase, which add up to the time of this process
up to that line, and the seconds for the same picture a second time.
"""

import time

BEGIN = time.time()  # before anything else is imported

import contextlib  # noqa: E402
import functools  # noqa: E402
import gc  # noqa: E402
import importlib.abc  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402

OPTIONAL = "importing optional packages"
RUNNING = "running"
REST = "the rest of the command"
_IMPORTS = {
    "importing NumPy, OpenCV, Pillow": ("numpy", "cv2", "PIL", "tifffile"),
    "importing TensorFlow": ("tensorflow",),
    "importing JAX": (),
    "importing Keras": ("keras", "h5py"),
    "importing LiteRT": ("ai_edge_litert",),
    OPTIONAL: ("jax", "matplotlib", "pandas", "sklearn"),
    "importing gradnet_tf": ("gradnet_tf",),
}
# By the module that defines a function, so that all importers get the timed one.
_FUNCTIONS = {
    "gradnet_tf.images.photo_files": {
        "read_photo": "decoding",
        "encode_photo": "encoding",
    },
    "gradnet_tf.utils.files": {"write_file": "writing"},
    "gradnet_tf.models.presets": {"model_from_weights": "building the network, loading weights"},
    "gradnet_tf.runtimes.litert_runtime": {
        "TFLiteRunner.__init__": "building the network, loading weights"
    },
    # TensorFlow calls these only while tracing.
    "gradnet_tf.runtimes.keras_runtime": {
        "KerasRunner._call": "tracing",
        "KerasRunner._call_given": "tracing",
        "KerasRunner._call_vectors": "tracing",
    },
    "gradnet_tf.denoiser": {"Denoiser.__call__": RUNNING},
}
#: Optimizations that can be disabled: `without` of the command line.
SAVINGS = ("hidden_packages", "collector_off", "no_autograph")


class Stopwatch:
    """Sums the exclusive times of nested phases in one thread."""

    def __init__(self, begin: float, clock=time.time):
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._stack = [REST]
        self._since = begin
        self._thread = threading.get_ident()

    def lap(self) -> float:
        """Adds the time since the last change of phase to the current one; returns the time."""
        now = self._clock()
        phase = self._stack[-1]
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._since
        self._since = now
        return now

    @contextlib.contextmanager
    def phase(self, name: str):
        """Adds the time inside the block to the phase `name`."""
        if threading.get_ident() != self._thread:
            yield
            return
        self.lap()
        self._stack.append(name)
        try:
            yield
        finally:
            self.lap()
            self._stack.pop()


class ImportHook(importlib.abc.MetaPathFinder):
    """Executes each module inside the context `around(name)`, then calls `after(module)`."""

    def __init__(self, around, after):
        self._around, self._after = around, after

    def find_spec(self, fullname, path=None, target=None):
        """Finds the module with the other finders and wraps its loader."""
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                break
        else:
            return None
        # Loaders of built-in modules are shared classes; other loaders are one per module.
        if hasattr(spec.loader, "exec_module") and not isinstance(spec.loader, type):
            execute = spec.loader.exec_module

            def timed(module):
                with self._around(fullname):
                    execute(module)
                    self._after(module)

            spec.loader.exec_module = timed
        return spec


def import_phase(name: str, backend: str = "tensorflow") -> str | None:
    """Returns the phase of importing a package; `None` for submodules and other packages."""
    if name == backend == "jax":
        return "importing JAX"
    return next((phase for phase, names in _IMPORTS.items() if name in names), None)


def time_functions(module, watch: Stopwatch, calls: list) -> None:
    """Replaces the timed functions of `module`; appends calls of the denoiser to `calls`."""
    for path, phase in _FUNCTIONS.get(module.__name__, {}).items():
        owner = module
        *classes, name = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        setattr(owner, name, _timed(getattr(owner, name), phase, watch, calls))


def _timed(function, phase, watch, calls):
    @functools.wraps(function)
    def timed(*arguments, **options):
        if phase == RUNNING:
            calls.append(functools.partial(function, *arguments, **options))
        with watch.phase(phase):
            return function(*arguments, **options)

    return timed


def undo(module, without) -> None:
    """Disables optimizations in a module that has just been imported."""
    if module.__name__ == "gradnet_tf.utils.framework_start":
        if "hidden_packages" in without:
            module.UNUSED = ()
        if "collector_off" in without:
            module.gc = _IdleCollector
    if module.__name__ == "gradnet_tf.runtimes.keras_runtime" and "no_autograph" in without:
        tensorflow = sys.modules["tensorflow"]
        function = tensorflow.function
        tensorflow.function = lambda *args, **more: function(*args, **more | {"autograph": True})


class _IdleCollector:
    isenabled, enable, disable, freeze = gc.isenabled, gc.enable, *[lambda: None] * 2


def main(options: dict, arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    import os

    watch, calls = Stopwatch(BEGIN), []
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")

    def around(name):
        phase = import_phase(name, backend) if options["watch"] else None
        return watch.phase(phase) if phase else contextlib.nullcontext()

    def after(module):
        undo(module, options["without"])
        if options["watch"]:
            time_functions(module, watch, calls)

    sys.meta_path.insert(0, ImportHook(around, after))
    from gradnet_tf.cli import main as cli

    code = cli.main(arguments)
    if options["watch"]:
        begin = watch.lap()
        calls[-1]()
        end = time.time()
        times = {"begin": BEGIN, "phases": watch.seconds, "warm": end - begin, "end": end}
        print(json.dumps(times), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
