"""A share on the command line: `5%` or `0.05`."""

from __future__ import annotations

import click


class _Share(click.ParamType):  # type: ignore[type-arg]
    name = "share"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip()
        try:
            share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"'{text}' is no share: write 5% or 0.05.", param, ctx)
        if not 0 <= share <= 1:
            self.fail(f"{text} is not between 0 and 1 (0% and 100%).", param, ctx)
        return share


SHARE = _Share()
