"""Annotations as people have them: lists, NumPy arrays, tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def as_list(name: str, values: Any) -> list[Any]:
    """A list of the values; of tensors and arrays, their elements."""
    if isinstance(values, (list, tuple)):
        return list(values)
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise BadInput(f"{name} must be a list, an array or a tensor, not {type(values).__name__}")
    if hasattr(values, "tolist"):
        values = values.detach().tolist() if hasattr(values, "detach") else values.tolist()
        return values if isinstance(values, list) else [values]
    return list(values)


def texts(name: str, values: Any) -> list[str]:
    """Each a string."""
    values = as_list(name, values)
    for at, value in enumerate(values):
        if not isinstance(value, str):
            raise BadInput(f"{name}[{at}] must be a string, not {type(value).__name__}")
    return values


def ids(values: Any, count: int) -> list[str]:
    """Who annotated: one id for each, or one for all. Whole numbers are taken as their digits."""
    if isinstance(values, (str, int)) and not isinstance(values, bool):
        values = [values] * count
    values = as_list("annotator_ids", values)
    for at, value in enumerate(values):
        if isinstance(value, int) and not isinstance(value, bool):
            values[at] = str(value)
        elif not isinstance(value, str) or not value:
            raise BadInput(f"annotator_ids[{at}] must be a non-empty string or a whole number")
    return values


def numbers(name: str, values: Any) -> list[float]:
    """Each a finite number."""
    values = as_list(name, values)
    for at, value in enumerate(values):
        value = _number(value)
        if value is None or not math.isfinite(value):
            raise BadInput(f"{name}[{at}] must be a finite number")
        values[at] = value
    return values


def _number(value: Any) -> float | None:
    if isinstance(value, (float, int)):
        return float(value)
    try:
        # A tensor or a NumPy number.
        return float(value.item())
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return None


def same_length(**lists: list[Any]) -> None:
    """All of them have as many elements, and some."""
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BadInput(f"the lists have unequal lengths: {told}")
    if 0 in lengths.values():
        raise BadInput("there is nothing to log: the lists are empty")


def metrics(values: Any) -> dict[str, float]:
    """Named numbers; tensors of one element count as numbers."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise BadInput(
            f"metrics must be a mapping of names to numbers, not {type(values).__name__}"
        )
    found = {}
    for name, value in values.items():
        number = _number(value)
        if not isinstance(name, str) or number is None:
            raise BadInput(f"metrics[{name!r}] must be a number under a name")
        found[name] = number
    return found


def numbers_in(batch: Any) -> dict[str, float]:
    """The named numbers in a batch, and how many items its first list or tensor has. Contents are left alone."""
    if not isinstance(batch, Mapping):
        return {}
    found = {}
    for name, value in batch.items():
        many = getattr(value, "ndim", None)
        if many is None:
            many = int(isinstance(value, (list, tuple)))
        if many and "batch_size" not in found:
            found["batch_size"] = float(len(value))
        number = None if many or isinstance(value, (str, bytes)) else _number(value)
        if isinstance(name, str) and number is not None:
            found[name] = number
    return found
