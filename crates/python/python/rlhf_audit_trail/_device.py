"""Weights in a device's memory: which the engine reads there, and copies of them beside the training.

The copies are made on a stream of their own, which waits for what the device was told to do before. The training thread
waits for none of it; what changes the weights next waits on the device. As PyTorch says how streams are to be used:
https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-streams
"""

from __future__ import annotations

import warnings

from . import _engine

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Smaller tensors are put together on the device and copied as one: an adapter has hundreds, and each copy over the bus takes
# the training thread some microseconds to ask for.
_SMALL = 1 << 20


# Cards that were asked for, and whether the engine reads them.
_cards: dict[int, bool] = {}


def card(value: Any) -> tuple[int, int] | None:
    """The card that a contiguous tensor lies on, by its number, and the stream that its content is from.

    None where the engine cannot read it there: it is no card of NVIDIA's, or its driver is not found.
    """
    import torch

    if value.device.type != "cuda" or torch.version.cuda is None:
        return None
    number = value.device.index
    if number not in _cards:
        lacks = _engine.open_card(number)
        if lacks is not None:
            warnings.warn(f"weights are copied to be digested: {lacks}", stacklevel=6)
        _cards[number] = lacks is None
    return (number, torch.cuda.current_stream(value.device).cuda_stream) if _cards[number] else None


class Beside:
    """Copies of tensors that lie on devices, made beside what the devices do.

    Each :meth:`take` writes to the same memory, page-locked where there is enough of that: whoever reads what was taken before
    is to be done by then.
    """

    def __init__(self) -> None:
        self._lanes: list[_Lane] = []
        self._layout: Any = None
        self._taken: dict[str, Any] = {}
        self._by_streams = True

    def take(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Begins to copy tensors. Where the copies are; what is in them is theirs after :meth:`wait`.

        Of a device without streams, or without room for what copying beside takes, it returns when they are copied.
        """
        layout = {name: (value.device, value.dtype, value.shape) for name, value in tensors.items()}
        # They stay until they are copied.
        self._taken = tensors
        if layout == self._layout and self.again():
            return self._copies()
        self._layout = layout
        try:
            self._lanes = _lanes(tensors, self._by_streams)
            self._begin()
        except RuntimeError as error:
            if not self._by_streams:
                raise
            warnings.warn(f"weights are copied while the training waits: {error}", stacklevel=8)
            self._by_streams = False
            self._lanes = _lanes(tensors, False)
            self._begin()
        return self._copies()

    def again(self) -> bool:
        """The same of the tensors that were taken last, as they are now, into the same memory.

        False where that is not possible any more: take them then.
        """
        try:
            self._begin()
        except RuntimeError:
            self._layout = None
        return self._layout is not None

    def _begin(self) -> None:
        for lane in self._lanes:
            lane.take(self._taken)

    def _copies(self) -> dict[str, Any]:
        return {name: copy for lane in self._lanes for name, copy in lane.copies.items()}

    def wait(self) -> None:
        """Returns when everything taken is copied."""
        for lane in self._lanes:
            lane.wait()

    def hold_back(self) -> None:
        """Has what devices are told to do from now on wait until everything taken is copied."""
        for lane in self._lanes:
            lane.hold_back()


def _lanes(tensors: dict[str, Any], by_streams: bool) -> list[_Lane]:
    by_device: dict[Any, dict[str, Any]] = {}
    for name, value in tensors.items():
        by_device.setdefault(value.device, {})[name] = value
    modules = {device: _with_streams(device) if by_streams else None for device in by_device}
    return [_Lane(device, modules[device], some) for device, some in by_device.items()]


class _Lane:
    """The copies of one device's tensors."""

    def __init__(self, device: Any, module: Any, tensors: dict[str, Any]) -> None:
        self._device = device
        self._module = module
        is_small = {n: module is not None and v.nbytes < _SMALL for n, v in tensors.items()}
        self._big = {n: _page_locked(v) for n, v in tensors.items() if not is_small[n]}
        self._small: list[_Together] = []
        self.copies = dict(self._big)
        if self._module is None:
            return
        self._stream = self._module.Stream(device=device)
        # A thread that waits for it sleeps.
        blocking = {"blocking": True} if device.type == "cuda" else {}
        self._copied = self._module.Event(**blocking)
        by_type: dict[Any, dict[str, Any]] = {}
        for name, value in tensors.items():
            if is_small[name]:
                by_type.setdefault(value.dtype, {})[name] = value
        # Its memory is the stream's: nothing else has it while the stream uses it.
        with self._module.stream(self._stream):
            self._small = [_Together(some) for some in by_type.values()]
        for together in self._small:
            self.copies |= together.copies

    def take(self, tensors: dict[str, Any]) -> None:
        import torch

        if self._module is None:
            for name, copy in self._big.items():
                copy.copy_(tensors[name].detach())
            return
        self._stream.wait_stream(self._module.current_stream(self._device))
        with torch.no_grad(), self._module.stream(self._stream):
            for together in self._small:
                together.take(tensors)
            for name, copy in self._big.items():
                copy.copy_(tensors[name], non_blocking=True)
            self._copied.record(self._stream)

    def wait(self) -> None:
        if self._module is not None:
            self._copied.synchronize()

    def hold_back(self) -> None:
        if self._module is not None:
            self._module.current_stream(self._device).wait_event(self._copied)


class _Together:
    """Small tensors of one type, that cross the bus in one piece."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        first = next(iter(tensors.values()))
        sizes = [value.numel() for value in tensors.values()]
        self._names = list(tensors)
        self._there = first.new_empty(sum(sizes))
        self._here = _page_locked(self._there)

        def views(whole: Any) -> list[Any]:
            return [
                part.view(value.shape)
                for part, value in zip(whole.split(sizes), tensors.values(), strict=True)
            ]

        self._parts = views(self._there)
        self.copies = dict(zip(self._names, views(self._here), strict=True))

    def take(self, tensors: dict[str, Any]) -> None:
        import torch

        # As PyTorch's optimizers do it: one kernel for many tensors.
        torch._foreach_copy_(self._parts, [tensors[name] for name in self._names])
        self._here.copy_(self._there, non_blocking=True)


def _page_locked(like: Any) -> Any:
    """Memory of the processor's for a tensor's content, which a device writes to by itself."""
    import torch

    try:
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)
    except RuntimeError:
        # The system gives no more of it. A device writes to any memory, with the driver's help.
        return torch.empty(like.shape, dtype=like.dtype)


def _with_streams(device: Any) -> Any:
    """PyTorch's module for the device, if it has streams there: CUDA, ROCm, XPU."""
    import torch

    try:
        module = torch.get_device_module(device)
    except (AttributeError, RuntimeError):
        return None
    needed = ("Stream", "Event", "stream", "current_stream")
    return module if all(hasattr(module, name) for name in needed) else None
