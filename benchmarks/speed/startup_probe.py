r"""Runs the `gradnet` command with a stopwatch, or with some savings undone: see `startup`.

Example:
  python -m benchmarks.speed.startup_probe '{"watch": true, "without": []}' denoise a.jpg --output=o
The command's own code is unchanged: functions are replaced as their modules are imported. With
`watch`, the last line is JSON: seconds by phase, which together are the life of this process up to
that line, and the seconds that the same picture takes a second time.
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

OPTIONAL = "importing what only plots, converts or learns"
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
# Where a function is defined, so that whoever imports it gets the timed one.
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
    # TensorFlow calls these only to trace them.
    "gradnet_tf.runtimes.keras_runtime": {
        "KerasRunner._call": "tracing",
        "KerasRunner._call_given": "tracing",
        "KerasRunner._call_vectors": "tracing",
    },
    "gradnet_tf.denoiser": {"Denoiser.__call__": RUNNING},
}
#: What can be undone: `without` of the command line.
SAVINGS = ("hidden_packages", "collector_off", "no_autograph")


class Stopwatch:
    """Sums the time of nested phases, each without those inside it; of one thread."""

    def __init__(self, begin: float, clock=time.time):
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._stack = [REST]
        self._since = begin
        self._thread = threading.get_ident()

    def lap(self) -> float:
        """Books the time since the last change of phase; returns the time of day."""
        now = self._clock()
        phase = self._stack[-1]
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._since
        self._since = now
        return now

    @contextlib.contextmanager
    def phase(self, name: str):
        """Books the time inside the block under `name`."""
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
    """Calls `around(name)` as context of a module's execution, then `after(module)`."""

    def __init__(self, around, after):
        self._around, self._after = around, after

    def find_spec(self, fullname, path=None, target=None):
        """Lets the finders behind this one find it, and wraps the loader they name."""
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                break
        else:
            return None
        # The loaders of what is compiled into Python are classes; the others belong to one module.
        if hasattr(spec.loader, "exec_module") and not isinstance(spec.loader, type):
            execute = spec.loader.exec_module

            def timed(module):
                with self._around(fullname):
                    execute(module)
                    self._after(module)

            spec.loader.exec_module = timed
        return spec


def import_phase(name: str, backend: str = "tensorflow") -> str | None:
    """Returns the phase of importing a package; `None` for a part of one, or another's."""
    if name == backend == "jax":
        return "importing JAX"
    return next((phase for phase, names in _IMPORTS.items() if name in names), None)


def time_functions(module, watch: Stopwatch, calls: list) -> None:
    """Replaces the functions of `module` that are phases; the calls that run a picture are kept."""
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
    """Takes savings away from a module that has just been imported."""
    if module.__name__ == "gradnet_tf.cli.quick_start":
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
