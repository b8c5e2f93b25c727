"""PyTorch models of one's own: module:factory, TorchScript files and torch.export's .pt2."""

from __future__ import annotations

import hashlib
import importlib
import sys
import zipfile
from pathlib import Path
from typing import Any

from backend.runtime.errors import ConversionError
from converter.sources import torchvision
from converter.sources.source import LoadOptions, SourceModel, digest_files, reason_of
from converter.sources.torch_module import (
    any_size,
    convert_module,
    convert_traced,
    example_image,
    import_torch,
    quiet,
)
from converter.sources.torch_weights import load_state, read_state

_FORMAT = "pytorch"


def load_factory(source: str, options: LoadOptions) -> SourceModel:
    """`source`: `module:factory`, a function without arguments that gives an nn.Module.

    The module is looked for in the current folder too, and runs: naming it is consent. Raises
    ConversionError.
    """
    torch = import_torch()
    module = _call_factory(source)
    if not isinstance(module, torch.nn.Module):
        raise ConversionError(f"{source} gives a {type(module).__name__}, not a torch.nn.Module.")
    module = module.eval()
    if options.weights is not None:
        state = read_state(options.weights, trust=options.trust)
        load_state(module, state, options.weights, source, ("num_batches_tracked",))
    digest = _digest_of_state(module)
    version = f"torch {torch.__version__}"
    if torchvision.is_rcnn(module):
        return SourceModel(
            model=torchvision.convert_rcnn(module, options, source),
            path=Path(source),
            format=_FORMAT,
            digest=digest,
            framework_version=version,
            facts=torchvision.facts_of(module, f"{source} gives torchvision's detector"),
            native=torchvision.native_of(module),
        )
    example = example_image(options)
    return SourceModel(
        model=convert_module(module, example, shape=any_size(example), what=source),
        path=Path(source),
        format=_FORMAT,
        digest=digest,
        framework_version=version,
    )


def load_pytorch_file(path: Path, options: LoadOptions) -> SourceModel:
    """A TorchScript file or a .pt2; a whole pickled module with --trust. Raises ConversionError."""
    torch = import_torch()
    if options.weights is not None:
        raise ConversionError(f"{path} has weights of its own: leave out --weights.")
    kind = _kind_of(path)
    if kind == "pickle":
        return _load_pickled(path, options)
    if not options.trust:
        raise ConversionError(
            f"{path} is a {kind}, a program that may do anything when it is loaded: pass --trust "
            "if you trust where it comes from."
        )
    if kind == "TorchScript file":
        model = _convert_torchscript(path, options)
    else:
        model = _convert_exported(path)
    return SourceModel(
        model=model,
        path=path,
        format="torchscript" if kind == "TorchScript file" else "torch-export",
        digest=digest_files([path]),
        framework_version=f"torch {torch.__version__}",
    )


def _load_pickled(path: Path, options: LoadOptions) -> SourceModel:
    import torch

    if path.suffix == ".pkl" or not options.trust:
        read_state(path)  # raises for what is no state dict
        raise ConversionError(
            f"{path} has weights alone, without their architecture: give torchvision:NAME, "
            f"detectron2:CONFIG or module:factory with --weights {path}."
        )
    try:
        module = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling runs code of any kind
        raise ConversionError(f"{path} cannot be loaded: {reason_of(error)}.") from error
    if not isinstance(module, torch.nn.Module):
        raise ConversionError(
            f"{path} holds a {type(module).__name__}, not a torch.nn.Module: where it is a state "
            f"dict, give module:factory with --weights {path}."
        )
    example = example_image(options)
    return SourceModel(
        model=convert_module(module.eval(), example, shape=any_size(example), what=str(path)),
        path=path,
        format=_FORMAT,
        digest=digest_files([path]),
        framework_version=f"torch {torch.__version__}",
    )


def _kind_of(path: Path) -> str:
    """'TorchScript file', 'torch.export program' or 'pickle', by what is in the archive."""
    if not zipfile.is_zipfile(path):
        return "pickle"
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    exported = any(name.startswith("models/") and name.endswith(".json") for name in names)
    if exported or path.suffix.lower() == ".pt2":  # older releases had another layout
        return "torch.export program"
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return "TorchScript file"
    return "pickle"


def _convert_torchscript(path: Path, options: LoadOptions) -> Any:
    import torch

    try:
        with quiet():
            module = torch.jit.load(str(path), map_location="cpu").eval()
            module = torch.jit.freeze(module)
    except Exception as error:  # a damaged archive raises several types
        raise ConversionError(
            f"{path} is no TorchScript file, or was cut off: {reason_of(error)}."
        ) from error
    shape = any_size(example_image(options))
    return convert_traced(module, shape=shape, what=str(path))


def _convert_exported(path: Path) -> Any:
    import torch

    try:
        with quiet():
            program = torch.export.load(str(path))
    except Exception as error:  # a damaged archive raises several types
        raise ConversionError(
            f"{path} is no program of torch.export, or was cut off: {reason_of(error)}."
        ) from error
    return convert_traced(program, shape=_exported_shape(program, path), what=str(path))


def _exported_shape(program: Any, path: Path) -> list[int]:
    """The shape of the one input that is given at each call; -1 for what may change."""
    import torch

    given = set(program.graph_signature.user_inputs)
    images = [node.meta["val"] for node in program.graph.nodes if node.name in given]
    if len(images) != 1 or not isinstance(images[0], torch.Tensor):
        raise ConversionError(
            f"{path} has {len(images)} inputs, but only programs with the one input of an image "
            "can be converted: export the model with one tensor."
        )
    return [side if isinstance(side, int) else -1 for side in images[0].shape]


def _call_factory(source: str) -> Any:
    name, _, function = source.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConversionError(
            f"there is no file {source}, and no Python module {error.name}: give a model file, or "
            "module:factory from the folder of the module."
        ) from error
    except Exception as error:  # code of the user's
        raise ConversionError(f"the module {name} cannot be imported: {error}.") from error
    factory = getattr(module, function, None)
    if factory is None:
        raise ConversionError(f"the module {name} has no {function}: check module:factory.")
    if not callable(factory):
        raise ConversionError(f"{source} is a {type(factory).__name__}, not a function.")
    try:
        return factory()
    except Exception as error:  # code of the user's
        raise ConversionError(f"{source}() fails: {type(error).__name__}: {error}.") from error


def _digest_of_state(module: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
