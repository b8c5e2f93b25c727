"""Start Training: the event is answered at once, and thresholds are tuned after that."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from backend.runtime.errors import LabelvinoError

log = logging.getLogger("labelvino")

START_TRAINING = "START_TRAINING"
WHAT_IT_IS = (
    "Start Training tunes score thresholds from corrected tasks; the network is not trained."
)
OutcomeName = Literal["applied", "reported", "nothing", "failed"]
OUTCOMES: tuple[OutcomeName, ...] = ("applied", "reported", "nothing", "failed")

_EVENTS = frozenset(
    {
        START_TRAINING, "ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED",
        "ANNOTATIONS_DELETED", "TASKS_CREATED", "TASKS_DELETED", "PROJECT_CREATED",
        "PROJECT_UPDATED", "PROJECT_DELETED",
    }
)  # fmt: skip
_WAITING = 64  # projects
_REMEMBERED = 256
_SAME_CLICK_S = 5.0  # within which events are of one click, by several webhooks


@dataclass(frozen=True)
class Outcome:
    """What came of one tuning, in words for the log."""

    name: OutcomeName
    sentence: str


@dataclass
class Run:
    """The last tuning of a project; times are ISO 8601, UTC."""

    project: int
    state: Literal["waiting", "running", "done"]
    asked_at: str
    outcome: str = ""
    sentence: str = WHAT_IT_IS

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


class TrainingDesk:
    """Takes events in any number and order; tunes one project after the other, in one thread.

    A project waits once, however often it is asked for. Doubles of the click that began a tuning
    are known by their time, also after its end; what else comes makes it wait once more.
    """

    def __init__(
        self,
        tune: Callable[[int], Outcome] | None,
        why_not: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tune`: project id -> what came of it; None where nothing is tuned, and `why_not`.

        `clock`: seconds, by which doubles of a click are told from another one.
        """
        self._tune = tune
        self._why_not = why_not
        self._clock = clock
        self._ready = threading.Condition()
        self._waiting: OrderedDict[int, None] = OrderedDict()
        self._running: int | None = None
        self._asked_s: OrderedDict[int, float] = OrderedDict()  # the oldest first
        self._runs: OrderedDict[int, Run] = OrderedDict()
        self._outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._events: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def event(self, action: object, project: object) -> dict[str, str]:
        """What the sender is answered; never waits. `project`: its number."""
        name = action if isinstance(action, str) and action in _EVENTS else "other"
        with self._ready:
            self._events[name] += 1
        if name != START_TRAINING:
            return {"status": "ignored"}
        if isinstance(project, bool) or not isinstance(project, int):
            log.warning("Start Training without a project is ignored")
            return {"status": "ignored", "message": "The event names no project."}
        if not self._can(project):
            return {"status": "off", "message": f"{WHAT_IT_IS} It does nothing: {self._why_not}"}
        status = self._take(project)
        if status == "accepted":
            log.info("project %d: %s It begins now.", project, WHAT_IT_IS)
        elif status == "busy":
            log.warning("project %d: Start Training: too many projects wait; try later", project)
        return {
            "status": status,
            "message": f"{WHAT_IT_IS} The backend's log says what came of it.",
        }

    def do_now(self, project: int) -> None:
        """Tune in this thread, for a caller who has a process of its own for it."""
        if self._can(project):
            log.info("project %d: %s It begins now.", project, WHAT_IT_IS)
            self._say(project, self._outcome(project))

    def runs(self) -> list[dict[str, Any]]:
        """The last tuning of each project, the newest last."""
        with self._ready:
            return [run.to_json() for run in self._runs.values()]

    def counts(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Trainings by outcome, and events by action."""
        with self._ready:
            return dict(self._outcomes), dict(self._events)

    @property
    def stopped(self) -> bool:
        return self._stopped

    def stop(self, timeout_s: float) -> bool:
        """Begin no more; returns whether what is under way has ended in time."""
        with self._ready:
            self._stopped = True
            self._waiting.clear()
            self._ready.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _take(self, project: int) -> str:
        now_s = self._clock()
        with self._ready:
            if self._stopped:
                return "stopping"
            if project in self._waiting:
                return "waiting already"
            # A tuning may end before the double of its click comes.
            if now_s - self._asked_s.get(project, -_SAME_CLICK_S) < _SAME_CLICK_S:
                return "running already" if self._running == project else "done already"
            if len(self._waiting) >= _WAITING:
                return "busy"
            self._waiting[project] = None
            self._remember(project, now_s)
            self._runs.pop(project, None)
            asked_at = datetime.now(UTC).isoformat(timespec="seconds")
            self._runs[project] = Run(project, "waiting", asked_at)
            while len(self._runs) > _REMEMBERED:
                self._runs.popitem(last=False)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="training", daemon=True)
                self._thread.start()
            self._ready.notify_all()
        return "accepted"

    def _remember(self, project: int, now_s: float) -> None:
        self._asked_s.pop(project, None)
        self._asked_s[project] = now_s
        while len(self._asked_s) > _REMEMBERED:
            self._asked_s.popitem(last=False)

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._waiting and not self._stopped:
                    self._ready.wait()
                if self._stopped:
                    return
                project, _ = self._waiting.popitem(last=False)
                self._running = project
                run = self._runs.get(project)
                if run is not None:
                    run.state = "running"
            outcome = self._outcome(project)
            with self._ready:
                self._running = None
                self._outcomes[outcome.name] += 1
                if run is not None:
                    run.state, run.outcome, run.sentence = "done", outcome.name, outcome.sentence
            self._say(project, outcome)

    def _can(self, project: int) -> bool:
        if self._tune is None:
            log.warning("project %d: Start Training does nothing: %s", project, self._why_not)
        return self._tune is not None

    def _say(self, project: int, outcome: Outcome) -> None:
        level = logging.WARNING if outcome.name == "failed" else logging.INFO
        log.log(level, "project %d: Start Training: %s", project, outcome.sentence)

    def _outcome(self, project: int) -> Outcome:
        assert self._tune is not None  # noqa: S101 - nothing is taken without
        try:
            return self._tune(project)
        except LabelvinoError as error:
            return Outcome("failed", str(error))
        except Exception as error:
            log.exception("project %d: Start Training failed", project)
            return Outcome("failed", f"unexpected {type(error).__name__}; see the log.")
