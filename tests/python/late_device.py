"""A device for PyTorch that does later what it is told, on streams, as a GPU does: each stream is a thread.

PyTorch lets a backend be written in Python (torch.utils.backend_registration). What changes memory is done when its stream
comes to it, and what gives new memory when the stream has come to it. Nothing orders two streams but events.
"""

import queue
import threading
import time
from contextlib import contextmanager

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_map_only

# How long a stream takes to begin with a copy.
DELAY = 0.05


class Event:
    """A place in a stream's work."""

    def __init__(self):
        self.reached = threading.Event()
        self.reached.set()

    def record(self, stream):
        self.reached = threading.Event()
        stream.put(self.reached.set)

    def synchronize(self):
        self.reached.wait()


class Stream:
    """What a device does in order."""

    def __init__(self, device=None):
        self._work = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def put(self, work):
        self._work.put(work)

    def wait_event(self, event):
        self.put(event.reached.wait)

    def wait_stream(self, other):
        event = Event()
        event.record(other)
        self.wait_event(event)

    def synchronize(self):
        event = Event()
        event.record(self)
        event.synchronize()

    def _run(self):
        while True:
            self._work.get()()


class Late:
    """The module that PyTorch calls ``torch.late``."""

    Event, Stream = Event, Stream

    def __init__(self):
        self.current = Stream()
        self.copies = threading.Event()
        """Cleared while no copy is to be made."""
        self.copies.set()

    def put(self, tensor):
        """A tensor in the device's memory."""
        return Far(tensor)

    def current_stream(self, device=None):
        return self.current

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    # What PyTorch asks of every backend.
    def is_available(self):
        return True

    def is_initialized(self):
        return True

    def device_count(self):
        return 1

    def current_device(self):
        return 0

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass


class Far(torch.Tensor):
    """A tensor on the device, whose content is ``raw``."""

    DEVICE = "late:0"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw):
        return torch.Tensor._make_wrapper_subclass(
            cls, raw.shape, strides=raw.stride(), dtype=raw.dtype, device=cls.DEVICE
        )

    def __init__(self, raw):
        self.raw = raw

    def data_ptr(self):
        return self.raw.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, operator, types, arguments=(), named=None):
        raw, raw_named = tree_map_only(cls, lambda one: one.raw, (arguments, named or {}))
        target = raw_named.get("device")
        if target is not None and target.type == "late":
            raw_named["device"] = torch.device("cpu")
        if operator is torch.ops.aten.copy_.default:
            return _copy(arguments[0], *raw, **raw_named)
        if operator._schema.is_mutable:
            late.current.put(lambda: operator(*raw, **raw_named))
            return arguments[0] if operator._schema.returns else None
        if not operator.is_view:
            late.current.synchronize()
        made = operator(*raw, **raw_named)
        is_here = target is not None and target.type == "cpu"
        return made if is_here else tree_map_only(torch.Tensor, cls, made)


def _copy(to, there, here, non_blocking=False):
    def work():
        late.copies.wait()
        time.sleep(DELAY)
        there.copy_(here)

    stream = late.current
    stream.put(work)
    if not (isinstance(to, Far) or non_blocking):
        stream.synchronize()
    return to


late = Late()
backend_registration._setup_privateuseone_for_python_backend("late", late)


def moved(model, put):
    """Has a module's parameters on a device, put there one by one."""
    for part in model.modules():
        for name, value in list(part.named_parameters(recurse=False)):
            there = torch.nn.Parameter(put(value.detach()), value.requires_grad)
            setattr(part, name, there)
    return model
