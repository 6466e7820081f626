"""Proof: every message of a campaign to ourselves, through the real provider, before anybody else reads it.

A proof is no send: no cap, coupon or budget knows of it, no link counts, nothing is written to the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from carillon.delivery.protocol import (
    Accepted,
    Connector,
    Deferred,
    Divide,
    Held,
    Outcome,
    People,
    Rejected,
    Sender,
    SharedEmail,
    SharedSms,
    Unsure,
)
from carillon.foresight.draft import Draft
from carillon.foresight.preview import Preview, Shown
from carillon.kernel.channels import Channel
from carillon.plan.rules import SenderRule

MARK = "[Proof"


@dataclass(frozen=True, slots=True)
class Proof:
    """One message to one of our own addresses."""

    preview: Preview
    shown: Shown
    address: str
    sender: SenderRule | None

    @property
    def label(self) -> str:
        """Step, variant and language, as they stand in its subject."""
        one = self.preview
        return " · ".join(part for part in (one.step_id, one.arm, one.language) if part)


@dataclass(frozen=True, slots=True)
class ProofSent:
    """What became of it."""

    proof: Proof
    outcome: str
    is_sent: bool


def proofs_of(draft: Draft, found: Iterable[Preview], to: Mapping[Channel, Sequence[str]]) -> Iterator[Proof]:
    """Every message × variant × language as its typical reader sees it, for each of our addresses on its channel."""
    for one in found:
        sender = draft.rules.sender(str(one.channel), topic=draft.plan.topic, named=draft.plan.sender)
        for address in to.get(one.channel, ()):
            yield Proof(one, one.shown[0], address, sender)


async def send_proofs(proofs: Iterable[Proof], connectors: Mapping[str, Connector]) -> list[ProofSent]:
    """Hand each one over, one after the other; what a provider answers is told, never repeated."""
    try:
        return [await _sent(proof, connectors) for proof in proofs]
    finally:
        for connector in connectors.values():
            await connector.close()


async def _sent(proof: Proof, connectors: Mapping[str, Connector]) -> ProofSent:
    if proof.shown.withheld is not None:
        return ProofSent(proof, f"nothing to send: {proof.shown.withheld}", is_sent=False)
    if proof.sender is None:
        return ProofSent(proof, f"no sender for {proof.preview.channel}", is_sent=False)
    connector = connectors[proof.sender.connector]
    parcel = connector.build(_message(proof, proof.sender), People([proof.address], ["proof"]))
    outcome = (await connector.hand_over(parcel, [0]))[0]
    return ProofSent(proof, _told(outcome), isinstance(outcome, Accepted))


def _message(proof: Proof, rule: SenderRule) -> SharedEmail | SharedSms:
    sender = Sender(rule.address, rule.display_name, rule.reply_to, rule.messaging_service)
    shown = proof.shown
    if proof.preview.channel is Channel.SMS:
        return SharedSms(sender, shown.text)
    return SharedEmail(sender, f"{MARK} {proof.label}] {shown.subject}", shown.html, shown.text, categories=("proof",))


def _told(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "sent"
        case Unsure(reason):
            return f"may have been sent: {reason}"
        case Rejected(reason) | Deferred(reason) | Divide(reason) | Held(reason):
            return f"not sent: {reason}"
