"""Weights of a model, named and typed as ``save_pretrained`` writes them, and where they lie."""

from __future__ import annotations

import re
from collections import namedtuple

from . import _device
from .errors import BadInput, Unsupported

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._device import Beside

# As safetensors spells them (https://github.com/huggingface/safetensors).
_DTYPES = {
    "torch.bool": "BOOL",
    "torch.uint8": "U8",
    "torch.int8": "I8",
    "torch.float8_e5m2": "F8_E5M2",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e8m0fnu": "F8_E8M0",
    "torch.float8_e4m3fnuz": "F8_E4M3FNUZ",
    "torch.float8_e5m2fnuz": "F8_E5M2FNUZ",
    "torch.int16": "I16",
    "torch.uint16": "U16",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int32": "I32",
    "torch.uint32": "U32",
    "torch.float32": "F32",
    "torch.complex64": "C64",
    "torch.float64": "F64",
    "torch.int64": "I64",
    "torch.uint64": "U64",
}


_FSDP = "FullyShardedDataParallel"
_WRAPPERS = (
    "DistributedDataParallel",
    "DifferentiallyPrivateDistributedDataParallel",
    "DataParallel",
    "DeepSpeedEngine",
    _FSDP,
)
# What Opacus makes of a model, of whatever kind.
_OF_OPACUS = "AbstractGradSampleModule"


def unwrapped(model: Any) -> Any:
    """The model inside ``torch.compile``, wrappers of several processes, Opacus's, and TRL's for PPO: what is saved."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif type(model).__name__ in _WRAPPERS:
            model = model.module
        elif any(base.__name__ == _OF_OPACUS for base in type(model).__mro__):
            model = model._module
        elif type(model).__name__ == "PolicyAndValueWrapper":
            model = model.policy
        elif getattr(model, "is_peft_model", False) and hasattr(model, "pretrained_model"):
            # With a value head, which is saved apart from the adapter.
            model = model.pretrained_model
        else:
            return model


def whole(model: Any) -> Any:
    """The same, where this process has all of its weights.

    Raises:
        Unsupported: it has a part of them: FSDP, FSDP2, tensor parallelism, DeepSpeed's ZeRO-3.
    """
    if type(model).__name__ == _FSDP:
        raise Unsupported(_SHARDED)
    model = unwrapped(model)
    # A state dictionary shows no trace of ZeRO: what it holds is empty.
    if any(type(part).__name__ == _FSDP for part in model.modules()) or any(
        map(_is_a_part, model.parameters())
    ):
        raise Unsupported(_SHARDED)
    return model


def _is_a_part(value: Any) -> bool:
    return any(hasattr(value, trace) for trace in ("_local_tensor", "ds_id", "_is_flat_param"))


def is_peft(model: Any) -> bool:
    """Whether it is a model of PEFT's."""
    return any(base.__module__.startswith("peft.") for base in type(model).__mro__)


def saved(model: Any) -> dict[str, Any]:
    """The tensors that ``save_pretrained`` would write: all, or, of a PEFT model, its adapter."""
    if is_peft(model):
        from peft import get_peft_model_state_dict

        return get_peft_model_state_dict(model)
    state = {name: value for name, value in model.state_dict().items() if value is not None}
    return _each_once(model, state)


def trainable(model: Any) -> dict[str, Any]:
    """Those of them that are trained: they stay the same objects as long as the optimizer holds them."""
    if not is_peft(model):
        return {name: value for name, value in model.named_parameters() if value.requires_grad}
    by_address = {value.data_ptr(): value for value in model.parameters() if value.requires_grad}
    found = {name: by_address.get(value.data_ptr()) for name, value in saved(model).items()}
    return {name: value for name, value in found.items() if value is not None}


def saves_frozen(model: Any) -> bool:
    """Whether of a PEFT model more is saved than is trained: the embeddings, where an adapter is made for them."""
    model = unwrapped(model)
    return is_peft(model) and saved(model).keys() != trainable(model).keys()


def _each_once(model: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Of tensors that are one in memory, the one that is saved: not the one that the model ties to another."""
    groups: dict[Any, list[str]] = {}
    for name, value in state.items():
        if (
            getattr(value, "device", None) is not None
            and value.device.type != "meta"
            and value.numel()
        ):
            key = (value.device, value.data_ptr(), tuple(value.shape), tuple(value.stride()))
            groups.setdefault(key, []).append(name)
    with_keys = getattr(model, "pretrained_model", model)
    tied = list(getattr(with_keys, "_tied_weights_keys", None) or ())
    left_out: set[str] = set()
    for names in groups.values():
        if len(names) > 1:
            names = sorted(names)
            free = [name for name in names if not any(re.search(key, name) for key in tied)]
            left_out |= set(names) - {(free or names)[0]}
    return {name: value for name, value in state.items() if name not in left_out}


_SHARDED = (
    "this model is sharded over several processes, and digests of sharded weights are not there yet: a root of one "
    "process's part would be wrong. Use weights='scalars', and checkpoint(path=...) with the consolidated save"
)


# What the engine reads: of each tensor its name, type, shape and address; what has to live as long as the addresses are
# used; and what to wait for first. Whether some of it is the model's own memory. And what it reads on cards, of each its card and
# stream besides.
Held = namedtuple("Held", "tensors owners ready in_place on_cards", defaults=((),))


def described(tensors: dict[str, Any], beside: Beside) -> Held:
    """What the engine reads of these tensors.

    Those in the processor's memory are read in place, unless they are not contiguous. Those on devices are copied `beside` the
    training.
    """
    tensors = _checked(tensors)
    far = {name: value for name, value in tensors.items() if value.device.type != "cpu"}
    near = {name: value.contiguous() for name, value in (tensors | beside.take(far)).items()}
    found = [(*_said(name, value), value.data_ptr()) for name, value in near.items()]
    is_in_place = len(far) < len(tensors)
    return Held(found, list(near.values()), beside if far else None, is_in_place)


def described_at_once(tensors: dict[str, Any]) -> Held:
    """The same for an engine that reads them while the training waits: on NVIDIA's cards where they lie."""
    near, on_cards, owners = [], [], []
    for name, value in _checked(tensors).items():
        value = value.contiguous()
        card = _device.card(value)
        if card is None:
            value = value.cpu()
            near.append((*_said(name, value), value.data_ptr()))
        else:
            on_cards.append((*_said(name, value), value.data_ptr(), *card))
        owners.append(value)
    return Held(near, owners, None, True, on_cards)


def _said(name: str, value: Any) -> tuple[str, str, list[int]]:
    return name, _DTYPES[str(value.dtype)], list(value.shape)


class Trained:
    """The tensors that are trained, described once: an optimizer changes what is in them, not where they lie."""

    def __init__(self, model: Any) -> None:
        self._tensors = trainable(model)
        self._described: Held | None = None
        self._places: list[Any] = []

    def described(self, beside: Beside) -> Held:
        """As :func:`described`, of what they are now."""
        known = self._described if self._places == self._here() else None
        if known is not None and (known.ready is None or beside.again()):
            return known
        found = described(self._tensors, beside)
        self._places = self._here()
        # The next change leaves copies behind, but for those that are made again.
        is_current = all(
            value.device.type != "cpu" or one[3] == value.data_ptr()
            for one, value in zip(found.tensors, self._tensors.values(), strict=True)
        )
        self._described = found if is_current else None
        return found

    def _here(self) -> list[Any]:
        return [
            (value.data_ptr(), value.dtype, value.shape, value.is_contiguous())
            for value in self._tensors.values()
        ]


def _checked(tensors: dict[str, Any]) -> dict[str, Any]:
    """Tensors that can be digested, apart from how they came to be."""
    if not tensors:
        raise BadInput("the model has no parameters, so there are no weights to log")
    for name, value in tensors.items():
        _check(name, value)
    return {name: value.detach() for name, value in tensors.items()}


def _check(name: str, value: Any) -> None:
    if not hasattr(value, "data_ptr"):
        raise BadInput(f"the model's state `{name}` is a {type(value).__name__}, not a tensor")
    if _is_a_part(value):
        raise Unsupported(_SHARDED)
    if value.device.type == "meta":
        raise BadInput(
            f"the tensor `{name}` is on the meta device and has no content; load the model's weights first"
        )
    if str(value.dtype) not in _DTYPES:
        raise Unsupported(
            f"the tensor `{name}` is of type {value.dtype}, which safetensors has no name for"
        )
