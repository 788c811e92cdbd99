"""Interprets the pickles in PyTorch files without executing code from them.

Python's `pickle` calls what a file names; even restricted to harmless names it
allots memory as the file says. This interpreter knows the few operations that
`torch.save` writes for dictionaries of tensors. Names are looked up in a table
of the caller's, and a "call" is a function of the caller's that decides what it
means; nothing is imported, and no other object is ever made.

A pickle of a few kilobytes can stand for any amount of work: a list that is copied a thousand
times, a tuple that holds another one twice, forty levels deep, or a name that is such a tuple. So
operations and the items that they move are counted, tuples are flat, and names are texts.
"""

import io
import pickletools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradnet_tf.utils.errors import UserError

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"} | {
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "SHORT_BINSTRING",
    "BINSTRING",
}
_PUT = {"BINPUT", "LONG_BINPUT", "PUT"}
_GET = {"BINGET", "LONG_BINGET", "GET"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NAMED = {"GLOBAL", "INST"}
_SILENT = {"PROTO", "FRAME"}
#: Operations of one pickle and items that they move: a network of 2,000 tensors takes 60,000.
_MOST_WORK = 400_000
#: Tuples within a tuple: a tensor's arguments hold its shape.
_MOST_DEPTH = 2


def run_pickle(
    stream: io.BytesIO,
    names: Mapping[str, Any],
    call: Callable[[Any, tuple], Any],
    persistent: Callable[[Any], Any],
) -> Any:
    """Returns the object described by the next pickle in a stream.

    Args:
        stream: positioned at a pickle, and after it on return. It is in memory, so that lengths
            claimed by the pickle cannot cause large allocations.
        names: maps "module.name" to values, which are passed around but never called.
        call: returns the result of "calling" a value of `names` with a tuple of arguments.
        persistent: returns the value of a persistent id.

    Returns:
        Numbers, strings, `None`, tuples, lists, dictionaries, and what `call`
        and `persistent` return.

    Raises:
        UserError: the pickle names something else, or holds an operation that
            dictionaries of tensors do not need.
        ValueError: it is damaged, or far more work than a state_dict of its kind.
    """
    try:
        return _Machine(names, call, persistent).run(pickletools.genops(stream))
    except UserError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"damaged pickle ({type(error).__name__}: {str(error)[:80]})") from error


class _Machine:
    """The stack, the marks in it and the memo of one pickle."""

    def __init__(self, names, call, persistent):
        self._names, self._call, self._persistent = names, call, persistent
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # stacks below the marks
        self._memo: dict[int, Any] = {}
        self._work = 0
        # By identity; the tuples are kept, so that none gets the place of another.
        self._depths: dict[int, tuple[int, tuple]] = {}

    def run(self, operations) -> Any:
        for operation, argument, _ in operations:
            name = operation.name
            if name == "STOP":
                return self._stack.pop()
            self._count(1)
            self._do(name, argument)
        raise ValueError("the end is missing")

    def _count(self, items: int) -> None:
        self._work += items
        if self._work > _MOST_WORK:
            raise ValueError(f"more than {_MOST_WORK} operations and items")

    def _tuple(self, items: Sequence) -> tuple:
        """Makes a tuple, if it is as flat as those of tensors are."""
        self._count(len(items))
        inner = (self._depths.get(id(item), (0, ()))[0] for item in items)
        depth = 1 + max(inner, default=0)
        if depth > _MOST_DEPTH:
            raise ValueError(f"tuples within tuples, more than {_MOST_DEPTH} deep")
        made = tuple(items)
        if made:  # Python has one empty tuple.
            self._depths[id(made)] = depth, made
        return made

    def _do(self, name, argument):
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _PUT:
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in _GET:
            stack.append(self._memo[argument])
        elif name == "MARK":
            self._below.append(stack)
            self._stack = []
        elif name in _TUPLES:
            stack.append(self._tuple(self._pop(_TUPLES[name])))
        elif name == "TUPLE":
            items = self._since_mark()
            self._stack.append(self._tuple(items))
        elif name in _NAMED:
            stack.append(self._named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(self._named(*self._pop(2)))
        elif name == "BINPERSID":
            stack.append(self._persistent(stack.pop()))
        elif name == "REDUCE":
            function, arguments = self._pop(2)
            if not isinstance(arguments, tuple):
                raise ValueError("arguments that are no tuple")
            self._count(sum(len(each) for each in arguments if isinstance(each, list | dict)))
            stack.append(self._call(function, arguments))
        elif not self._collect(name) and name not in _SILENT:
            raise UserError(f"it contains the pickle operation {name}, which weights do not need")

    def _collect(self, name) -> bool:
        """Executes an operation on dictionaries or lists; returns whether `name` is one."""
        if name in ("EMPTY_DICT", "EMPTY_LIST"):
            self._stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "APPEND":
            (item,) = self._pop(1)
            self._top(list).append(item)
        elif name == "APPENDS":
            items = self._since_mark()
            self._top(list).extend(items)
        elif name == "SETITEM":
            self._fill(self._pop(2))
        elif name == "SETITEMS":
            self._fill(self._since_mark())
        elif name == "BUILD":
            # Attributes of a dictionary (PyTorch stores versions there) are ignored.
            self._pop(1)
            self._top(dict)
        else:
            return False
        return True

    def _fill(self, items):
        pairs = list(zip(items[::2], items[1::2], strict=True))
        # Hashing a nested tuple as a key could take forever.
        if not all(isinstance(key, (str, int)) for key, _ in pairs):
            raise ValueError("a key is not a string or an integer")
        self._top(dict).update(pairs)

    def _named(self, module, name):
        # Written into a message, a tuple of shared tuples would be as long as they are many.
        if type(module) is not str or type(name) is not str:
            raise ValueError("a name that is no text")
        found = f"{module}.{name}"
        if found not in self._names:
            raise UserError(f"it names {found[:120]!r}, which weights have no use for")
        return self._names[found]

    def _pop(self, count) -> tuple:
        if len(self._stack) < count:
            raise ValueError("an empty stack")
        popped = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        return popped

    def _since_mark(self) -> list:
        items, self._stack = self._stack, self._below.pop()
        self._count(len(items))
        return items

    def _top(self, kind):
        if type(self._stack[-1]) is not kind:
            raise ValueError(f"expected a {kind.__name__}")
        return self._stack[-1]
