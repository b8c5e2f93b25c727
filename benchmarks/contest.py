"""All candidates in turn, round by round, and their ratios to one of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from benchmarks.candidate import Candidate, Round


@dataclass
class Result:
    """The rounds of one candidate, `count` things each."""

    name: str
    count: int
    rounds: list[Round] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Things a second, the median of the rounds."""
        return self.count / statistics.median(r.seconds for r in self.rounds)

    @property
    def processor_ms(self) -> float:
        """Processor time of one thing, on all cores together."""
        return statistics.median(r.processor_s for r in self.rounds) / self.count * 1000

    def ratios(self, limit: Result) -> list[float]:
        """Its rate over that of `limit` in each round, ascending."""
        pairs = zip(limit.rounds, self.rounds, strict=True)
        return sorted((a.seconds / limit.count) / (b.seconds / self.count) for a, b in pairs)


def hold(
    candidates: list[Candidate], rounds: int, count: int, *, warm: bool = True
) -> list[Result]:
    """`rounds` rounds of `count` things by each in turn; `warm`: after one that does not count."""
    results = [Result(candidate.name, count) for candidate in candidates]
    for candidate in candidates if warm else ():
        candidate.round(count)
    for number in range(rounds):
        # Each begins once: what slows the machine for a while does not meet the same one always.
        shift = number % len(candidates)
        order = list(range(shift, len(candidates))) + list(range(shift))
        for index in order:
            results[index].rounds.append(candidates[index].round(count))
    return results


def table(results: list[Result], limit: Result, thing: str) -> str:
    """A Markdown table, the first result's ratio first."""
    lines = [
        f"| | {thing}s/s | of {limit.name}, median (range) | by processor time | ms of processor "
        f"a {thing} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for result in results:
        ratios = result.ratios(limit)
        median = statistics.median(ratios)
        lines.append(
            f"| {result.name} | {result.rate:.2f} | {median:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
            f" | {limit.processor_ms / result.processor_ms:.2f} | {result.processor_ms:.0f} |"
        )
    return "\n".join(lines)
