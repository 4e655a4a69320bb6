"""Weights of a model, named and typed as ``save_pretrained`` writes them, and where they lie."""

from __future__ import annotations

import re

from .errors import BadInput, Unsupported

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


def described(tensors: dict[str, Any]) -> tuple[list[tuple[str, str, list[int], int]], list[Any]]:
    """Names, types, shapes and addresses, and what has to live as long as the addresses are used.

    Tensors on a device, and those that are not contiguous, are copied; others are not.
    """
    found, owners = [], []
    for name, value in tensors.items():
        value = _readable(name, value)
        owners.append(value)
        found.append((name, _DTYPES[str(value.dtype)], list(value.shape), value.data_ptr()))
    if not found:
        raise BadInput("the model has no parameters, so there are no weights to log")
    return found, owners


class Trained:
    """The tensors that are trained, described once: an optimizer changes what is in them, not where they lie."""

    def __init__(self, model: Any) -> None:
        self._tensors = trainable(model)
        self._described: tuple[list[Any], list[Any]] | None = None
        self._places: list[Any] = []

    def described(self) -> tuple[list[Any], list[Any]]:
        """As :func:`described`, of what they are now."""
        if self._described is not None and self._places == self._here():
            return self._described
        found = described(self._tensors)
        self._places = self._here()
        # The next change leaves copies behind.
        in_place = all(
            one[3] == place[0] for one, place in zip(found[0], self._places, strict=True)
        )
        self._described = found if in_place else None
        return found

    def _here(self) -> list[Any]:
        return [
            (value.data_ptr(), value.dtype, value.shape, value.is_contiguous())
            for value in self._tensors.values()
        ]


def _readable(name: str, value: Any) -> Any:
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
    value = value.detach()
    if value.device.type != "cpu":
        value = value.cpu()
    return value.contiguous()
