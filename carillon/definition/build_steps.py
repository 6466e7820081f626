"""Step words → the closed union of steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from carillon.definition.build_acts import act_of
from carillon.definition.build_conditions import Names, condition_of, pool_named
from carillon.definition.build_dates import wait_until_date
from carillon.definition.build_limits import window_of
from carillon.definition.build_ours import to_ours
from carillon.definition.build_wait_for import wait_for_of
from carillon.definition.campaign_words import (
    ArmWords,
    ChooseWords,
    EnterWords,
    ExitWords,
    FirstReachableWords,
    MessageStepWords,
    SetWords,
    SplitWords,
    StepBase,
    TestWords,
    UnsubscribeWords,
    WaitForWords,
    WaitStepWords,
    WaitWords,
)
from carillon.definition.entries import WEEKDAYS, Weekday
from carillon.definition.model import (
    Act,
    Arm,
    Branch,
    Choose,
    Exit,
    LaterStep,
    Send,
    SendLeader,
    Split,
    Step,
    Test,
    Wait,
    WaitDays,
    WaitUntil,
    WaitUntilDay,
    Way,
    branches_of,
)
from carillon.definition.step_ids import REACH_WORDS, StepIds, branch_name, branches_in, repeated, sent_by, step_word
from carillon.kernel.channels import Channel
from carillon.kernel.durations import Span

_A_DAY = Span(seconds=86_400)


@dataclass(slots=True)
class Steps:
    """Builds the steps of one journey."""

    names: Names
    ids: StepIds

    def build(self, journey: list[StepBase]) -> tuple[Step, ...]:
        """The steps of a branch, in order; what cannot be reached is a problem."""
        built: list[Step] = []
        for words in journey:
            if built and _ends(built[-1]):
                what = f'nobody gets past "{built[-1].id}"'
                self.names.typing.reading.note(words.place, 6, f"this step is never reached: {what}")
            built.append(self._step(words))
        return tuple(built)

    def _step(self, words: StepBase) -> Step:
        step_id, was = self.ids.of(words), str(words.was) if words.was is not None else None
        match words:
            case MessageStepWords() if words.email is not None or words.sms is not None:
                return self._send(words, step_id, was)
            case MessageStepWords() if words.notify is not None or words.webhook is not None:
                self._check_validity(words)
                return to_ours(words, step_id, was, self.names)
            case FirstReachableWords():
                return self._first_reachable(words, step_id, was)
            case WaitStepWords():
                return self._wait(words.wait, step_id, was)
            case WaitForWords():
                return wait_for_of(words, step_id, was, self.names, self.build)
            case ChooseWords():
                return self._choose(words, step_id, was)
            case SplitWords():
                return self._split(words, step_id, was)
            case SetWords() | UnsubscribeWords() | EnterWords():
                return Act(step_id, act_of(words, self.names), was)
            case ExitWords():
                return Exit(step_id, str(words.exit), was)
            case _:
                return self._later(words, step_id, was)

    def _send(self, words: MessageStepWords, step_id: str, was: str | None) -> Send:
        channel = Channel.EMAIL if words.email is not None else Channel.SMS
        message = words.email if words.email is not None else words.sms
        self._check_validity(words)
        if words.subject is not None and channel is not Channel.EMAIL:
            self._note(words, "subject", "only an e-mail has a subject")
        if words.send_time is not None and words.test is not None and words.test.send_leader is not None:
            self._note(
                words, "send_time", "the leader's sample leaves at once and the rest at one hour", "no send_time"
            )
        if words.to is not None:
            self._note(words, "to", 'only "notify" writes to someone else')
        return Send(
            step_id, channel, str(message), was,
            condition_of(words.only_if, self.names) if words.only_if is not None else None,
            self._test(words.test) if words.test is not None else None,
            words.valid_for, words.valid_until, str(words.subject) if words.subject is not None else None,
            window_of(words.quiet_hours, self.names.typing.reading) if words.quiet_hours is not None else None,
            at_best_time=words.send_time == "best", coupon=self._pool(words),
        )  # fmt: skip

    def _first_reachable(self, words: FirstReachableWords, step_id: str, was: str | None) -> Send:
        self._check_validity(words)
        self._check_ways(words)
        ways = [Way(Channel(channel), str(message)) for channel, message in sent_by(words)]
        first = ways[0] if ways else Way(Channel.EMAIL, "")
        only_if = condition_of(words.only_if, self.names) if words.only_if is not None else None
        return Send(
            step_id, first.channel, first.message, was, only_if, None, words.valid_for, words.valid_until,
            others=tuple(ways[1:]), coupon=self._pool(words),
        )  # fmt: skip

    def _pool(self, words: MessageStepWords | FirstReachableWords) -> str | None:
        return pool_named(words.coupon, self.names) if words.coupon is not None else None

    def _check_ways(self, words: FirstReachableWords) -> None:
        reading, seen = self.names.typing.reading, set[str]()
        if len(words.first_reachable) < 2 and words.is_whole:
            reading.note(words.key_at("first_reachable"), 3, "one way is no choice", "two: [{sms: …}, {email: …}]")
        for way in words.first_reachable:
            written = [channel for channel in REACH_WORDS if way.has(channel)]
            if len(written) != 1 and way.is_whole:
                reading.note(way.place, 3, "each way is one message", "[{sms: …}, {email: …}]")
            for channel in (c for c in written if c in seen):
                reading.note(way.key_at(channel), 3, f"nobody gets this one: {channel} stands before it already")
            seen.update(written)

    def _check_validity(self, words: MessageStepWords | FirstReachableWords) -> None:
        if words.valid_for is not None and words.valid_until is not None:
            self._note(words, "valid_until", "valid_for and valid_until stand together", "one of them")

    def _note(self, words: StepBase | WaitWords | TestWords, key: str, message: str, expected: str = "") -> None:
        self.names.typing.reading.note(words.key_at(key), 3, message, expected)

    def _test(self, words: TestWords) -> Test:
        if len(words.variants) < 2 and words.is_whole:
            self._note(words, "variants", "a test needs two variants or more")
        for name in repeated(words.variants):
            self.names.wrong(name, f'the variant "{name}" stands twice')
        leader = words.send_leader
        return Test(
            tuple(map(str, words.variants)),
            None
            if leader is None
            else SendLeader(
                leader.by, leader.sample, leader.after or _A_DAY, leader.rest, leader.policy, leader.min_events
            ),
        )

    # ------------------------------------------------------------ waits

    def _wait(self, words: WaitWords, step_id: str, was: str | None) -> Step:
        written = [key for key in ("for", "days", "until", "date") if words.has(key)]
        if len(written) != 1 and words.is_whole:
            message = f"{' and '.join(written)} stand together" if written else "this says not how long"
            self.names.typing.reading.note(
                words.place,
                3,
                message,
                "one of 3d, {days: 1, at: 09:00}, {until: monday, at: 09:00}, {until: 2026-12-24 18:00}",
            )
        match written[0] if written else "for":
            case "days":
                return self._days(words, step_id, was)
            case "until":
                return self._until(words, step_id, was)
            case "date":
                return wait_until_date(words, step_id, was, self.names)
            case _:
                return Wait(step_id, words.for_ or Span(), was)

    def _days(self, words: WaitWords, step_id: str, was: str | None) -> Step:
        if words.at is None:
            if words.lacks("at"):
                self._note(
                    words, "days", "the clock time is missing", "{days: 1, at: 09:00}; exact hours are `wait: 24h`"
                )
            return Wait(step_id, Span(), was)
        if words.if_past is not None:
            self._note(words, "if_past", "days to come are never past")
        return WaitDays(step_id, words.days or 0, words.at, was)

    def _until(self, words: WaitWords, step_id: str, was: str | None) -> Step:
        if isinstance(words.until, datetime):
            if words.at is not None:
                self._note(words, "at", "the clock time stands in the date already")
            if words.if_past == "next":
                self._note(words, "if_past", "a date has no next one", "go_on or exit")
            return WaitUntil(step_id, words.until, "go_on" if words.if_past == "go_on" else "exit", was)
        if words.at is None:
            if words.lacks("at"):
                self._note(words, "until", "the clock time is missing", f"{{until: {words.until}, at: 09:00}}")
            return Wait(step_id, Span(), was)
        day: Weekday = next((day for day in WEEKDAYS if day == words.until), "monday")
        return WaitUntilDay(step_id, day, words.at, was, words.if_past or "next")

    # ------------------------------------------------------------ branches

    def _choose(self, words: ChooseWords, step_id: str, was: str | None) -> Choose:
        branches, otherwise = [], None
        for place, branch in enumerate(words.choose):
            if branch.has("otherwise"):
                if branch.if_ is not None or branch.then is not None or place != len(words.choose) - 1:
                    self.names.typing.reading.note(
                        branch.key_at("otherwise"), 3, "`otherwise` stands alone, at the end", "- otherwise: …"
                    )
                otherwise = self.build(list(branch.otherwise or []))
            elif branch.if_ is None or branch.then is None:
                missing = "if" if branch.lacks("if") else "then"
                if branch.lacks(missing):
                    self.names.typing.reading.missing(
                        branch.place, f'the key "{missing}" is missing', "{if: …, then: …}"
                    )
            else:
                branches.append(
                    Branch(branch_name(branch.if_), condition_of(branch.if_, self.names), self.build(list(branch.then)))
                )
        if otherwise is None and words.is_whole and all(branch.is_whole for branch in words.choose):
            self.names.typing.reading.note(
                words.key_at("choose"),
                2,
                "`otherwise` must be written",
                "what all others get: - otherwise: {exit: done}",
            )
        return Choose(step_id, tuple(branches), otherwise or (), was)

    def _split(self, words: SplitWords, step_id: str, was: str | None) -> Split:
        if len(words.split) < 2 and words.is_whole:
            self.names.typing.reading.note(words.key_at("split"), 3, "a split needs two arms or more")
        shares = self._shares(words)
        arms = [
            Arm(str(name), share, self.build(list(arm.then)))
            for (name, arm), share in zip(words.split.items(), shares, strict=True)
        ]
        return Split(step_id, tuple(arms), was)

    def _shares(self, words: SplitWords) -> list[int]:
        arms: list[ArmWords] = list(words.split.values())
        written = sum(arm.share or 0 for arm in arms)
        open_arms = [arm for arm in arms if arm.share is None]
        if written > 10_000 or (written != 10_000 and not open_arms):
            self.names.typing.reading.note(
                words.key_at("split"), 3, f"the shares add up to {written / 100:g}%", "100%, or an arm without a share"
            )
        rest = divmod(max(0, 10_000 - written), len(open_arms)) if open_arms else (0, 0)
        left = iter(rest[0] + (1 if place < rest[1] else 0) for place in range(len(open_arms)))
        return [arm.share if arm.share is not None else next(left) for arm in arms]

    def _later(self, words: StepBase, step_id: str, was: str | None) -> LaterStep:
        only_if = getattr(words, "only_if", None)
        if only_if is not None:
            condition_of(only_if, self.names)
        inside = tuple(self.build(steps) for _, steps in branches_in(words))
        return LaterStep(step_id, step_word(words), inside, was)


def _ends(step: Step) -> bool:
    """Whether nobody goes on behind the step."""
    if isinstance(step, Exit):
        return True
    if isinstance(step, LaterStep):
        return False
    branches = branches_of(step)
    return bool(branches) and all(branch and _ends(branch[-1]) for branch in branches)
