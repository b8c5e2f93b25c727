"""What the commands that measure share."""

from __future__ import annotations

from types import TracebackType

import click

PARITY_NOT_MET = 3

device = click.option(
    "--device", default="AUTO", show_default=True, help="An OpenVINO device: CPU, GPU, AUTO, ..."
)
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16", "f16"]),
    default="auto",
    show_default=True,
    help="Inference precision; auto is the device's choice.",
)


class Counting:
    """Shows on a terminal what is measured and how far it is."""

    def __init__(self) -> None:
        from converter.progress import PhaseProgress

        self._shown = PhaseProgress()
        self._phase = ""

    def __enter__(self) -> Counting:
        self._shown.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shown.__exit__(kind, error, traceback)

    def progress(self, what: str, done: int, of: int) -> None:
        """See compare.Progress."""
        if what != self._phase:
            self._phase = what
            self._shown.start(what)
        if of > 1:
            self._shown.count(done, of)
