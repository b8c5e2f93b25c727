"""State dicts and checkpoints, read without running what is in them."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from backend.runtime.errors import ConversionError
from converter.sources.source import LoadOptions

State = OrderedDict[str, Any]  # tensors by name

_WRAPPERS = ("model", "state_dict", "model_state_dict")
_PREFIX = "module."  # of DistributedDataParallel
# What a pickle of arrays needs, and nothing else: protocol 2 of Python 2 up to protocol 5.
_ARRAY_PARTS = frozenset(
    {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("collections", "OrderedDict"),
        ("_codecs", "encode"),
    }
)


def weights_of(options: LoadOptions, source: str) -> Path:
    """The file of --weights. Raises ConversionError where it is not given or not there."""
    if options.weights is None:
        raise ConversionError(f"{source} is only an architecture: give its --weights.")
    if not options.weights.is_file():
        raise ConversionError(f"there is no file {options.weights}: check --weights.")
    return options.weights


def read_state(path: Path, *, trust: bool = False) -> State:
    """Tensors by name, from a state dict or a checkpoint that holds one, or a .pkl of arrays.

    Wrappers ({'model': ..}, 'module.' before each name) are taken off. `trust` unpickles anything.
    Raises ConversionError.
    """
    content = _read_pickle(path) if path.suffix == ".pkl" else _read_torch(path, trust=trust)
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise ConversionError(
            f"{path} holds a {type(content).__name__}, not a state dict: save it with "
            "torch.save(model.state_dict(), ...)."
        )
    return _tensors(content, path)


def _tensors(content: dict[Any, Any], path: Path) -> State:
    import torch

    state = OrderedDict()
    for name, value in content.items():
        tensor = value
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            tensor = torch.from_numpy(np.array(value))
        if isinstance(tensor, torch.Tensor):
            state[str(name)] = tensor
    if not state:
        raise ConversionError(
            f"{path} holds no tensors: save the weights with torch.save(model.state_dict(), ...)."
        )
    versions = getattr(content, "_metadata", {})
    if all(name.startswith(_PREFIX) for name in state):
        state = OrderedDict((name.removeprefix(_PREFIX), value) for name, value in state.items())
        versions = {name.removeprefix(_PREFIX): value for name, value in versions.items()}
    # Layers read there how an older release stored them.
    state._metadata = versions  # type: ignore[attr-defined]
    return state


def _read_torch(path: Path, *, trust: bool) -> Any:
    import torch

    try:
        # A TorchScript archive would be loaded as such, with a warning, where this did not look.
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if _holds_code(error):
            raise ConversionError(
                f"{path} holds more than weights and would run code when it is loaded: save "
                "model.state_dict() alone, or pass --trust if you trust where it comes from."
            ) from error
        raise _damaged(path) from error
    except OSError:
        raise
    except Exception as error:  # torch raises many types for damaged files
        raise _damaged(path) from error


def _holds_code(error: pickle.UnpicklingError) -> bool:
    text = str(error)
    return "Unsupported global" in text or "GLOBAL" in text or "Unsupported class" in text


def _damaged(path: Path) -> ConversionError:
    return ConversionError(
        f"{path} is no PyTorch file, or was cut off: copy or save it again with torch.save."
    )


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays in plain containers; everything else raises."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_PARTS:
            raise PermissionError(f"{module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _read_pickle(path: Path) -> Any:
    """Detectron2's .pkl: arrays by name, written by Python 2 or 3."""
    try:
        return _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except PermissionError as error:
        raise ConversionError(
            f"{path} holds more than arrays ({error}) and would run code when it is loaded: save "
            "the weights as a state dict (.pth) with torch.save(model.state_dict(), ...)."
        ) from error
    except OSError:
        raise
    except Exception as error:  # pickle raises almost anything for damaged files
        raise ConversionError(f"{path} is no pickle of arrays, or was cut off.") from error


def load_state(model: Any, state: State, path: Path, what: str, may_miss: tuple[str, ...]) -> None:
    """Put `state` into `model`, all of it.

    `may_miss`: ends of names that either side may have alone. Raises ConversionError that says
    what does not fit.
    """
    own = model.state_dict()
    missing = [n for n in own if n not in state and not n.endswith(may_miss)]
    extra = [n for n in state if n not in own and not n.endswith(may_miss)]
    wrong = [n for n in own if n in state and own[n].shape != state[n].shape]
    if missing or extra or wrong:
        reasons = [
            f"{len(names)} tensors {how}, such as {names[0]}"
            for names, how in ((missing, "are missing"), (extra, "are too many"))
            if names
        ]
        if wrong:
            name = wrong[0]
            reasons.append(
                f"{name} has the shape {list(state[name].shape)} instead of {list(own[name].shape)}"
            )
        raise ConversionError(
            f"{path} has the weights of another model than {what}: {'; '.join(reasons)}."
        )
    model.load_state_dict(state, strict=False)
