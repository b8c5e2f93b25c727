"""PyTorch modules run by PyTorch itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.runtime.errors import MeasurementError
from converter.reference.reference import Answer, Array
from converter.sources import SourceModel
from converter.sources.source import reason_of


class TorchReference:
    """On the CPU, not traced: what tracing fixes, such as a size, shows."""

    def __init__(self, source: SourceModel) -> None:
        import torch

        if source.native is None:
            raise MeasurementError(f"{source.path} is no PyTorch module.")
        self.runtime = f"PyTorch {torch.__version__}"
        self._module = source.native.module
        self._names = source.native.names

    def tensor_names(self) -> frozenset[str]:
        """None: a module's inner tensors have no names that conversion keeps."""
        return frozenset()

    def run(self, inputs: dict[str, Array], inner: Sequence[str]) -> Answer:  # noqa: ARG002
        """See Reference.run."""
        import torch

        (image,) = inputs.values()
        try:
            with torch.no_grad():
                found = self._module(torch.from_numpy(np.ascontiguousarray(image)))
        except Exception as error:  # whatever the model's own code raises
            raise MeasurementError(f"the source fails in PyTorch: {reason_of(error)}.") from error
        values = [tensor.detach().cpu().numpy() for tensor in found]
        return Answer(dict(zip(self._names, values, strict=True)), {})
