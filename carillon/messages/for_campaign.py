"""All contents of a campaign: every message × variant × language that has words, and what is missing to the offer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from carillon.definition.model import Campaign, MessageSource, Send, SourceText, walk
from carillon.kernel.channels import Channel
from carillon.kernel.problems import Problem
from carillon.messages.compiling import Setting, compile_content
from carillon.messages.content import Content, links_from
from carillon.messages.ours import addressed, call_content
from carillon.plan.applied import ContentKey
from carillon.plan.apply import ContentOf
from carillon.plan.model import MessageNode, Plan, arms_of
from carillon.plan.rules import Rules


@dataclass(frozen=True, slots=True)
class CampaignContents:
    """What a campaign sends. `missing` names (message, channel, language) that the workspace offers and nobody wrote."""

    contents: tuple[ContentOf, ...]
    compiled: Mapping[ContentKey, Content]
    """(step id, arm, channel, language) → content."""
    problems: tuple[Problem, ...]
    missing: tuple[tuple[str, Channel, str], ...]

    def of(self, node: MessageNode) -> Iterator[tuple[str, Content]]:
        """(language, content) of one message on its channel, each variant's."""
        for (step, _, channel, language), content in self.compiled.items():
            if step == node.id and channel == str(node.channel):
                yield language, content


def contents_of(
    campaign: Campaign,
    plan: Plan,
    sources: Mapping[str, MessageSource],
    rules: Rules,
    *,
    values: Mapping[str, Any],
    shared: Mapping[str, SourceText],
    known: Mapping[str, Any] | None = None,
    money_paths: tuple[str, ...] = (),
    links_before: Mapping[ContentKey, str] | None = None,
) -> CampaignContents:
    """Compile every message of the plan in every language that it is written in.

    `links_before` are the links of the contents that these replace: slots in mails that have left keep their targets.
    """
    rows, compiled, problems, missing = [], {}, dict[Problem, None](), []
    subjects = {step.id: step.subject or "" for step in walk(campaign.journey) if isinstance(step, Send)}
    for node in plan.ways:
        if node.channel is Channel.WEBHOOK:
            content = call_content(node, rules, (known or {}).get("trigger"), money_paths)
            compiled[node.id, "", str(node.channel), content.language] = content
            rows.append(_row(node, "", content.language, content))
            continue
        source = sources[node.message]
        written = languages_of(source, node.channel, rules)
        written = rules.languages[:1] if node.is_ours else written
        missing += (
            []
            if node.is_ours
            else [(node.message, node.channel, language) for language in rules.languages if language not in written]
        )
        for language in written:
            for arm in arms_of(node):
                setting = _setting(plan, node, arm, rules, values, shared, known, subjects[node.id])
                setting = replace(setting, money_paths=money_paths)
                before = (links_before or {}).get((node.id, arm, str(node.channel), language))
                if before:
                    setting = replace(setting, links_before=links_from(json.loads(before)))
                result = compile_content(source, node.channel, language, arm, setting)
                problems |= dict.fromkeys(result.problems)
                if result.content is not None:
                    content = addressed(result.content, node.to)
                    compiled[node.id, arm, str(node.channel), language] = content
                    rows.append(_row(node, arm, language, content))
    return CampaignContents(tuple(rows), compiled, tuple(problems), tuple(dict.fromkeys(missing)))


def languages_of(source: MessageSource, channel: Channel, rules: Rules) -> tuple[str, ...]:
    """The offered languages in which the message has its words; a message without words speaks the default one."""
    written = set(source.sms if channel is Channel.SMS else source.words)
    if channel is not Channel.SMS and not written:
        written = {rules.languages[0]}
    return tuple(language for language in rules.languages if language in written)


def _setting(
    plan: Plan,
    node: MessageNode,
    arm: str,
    rules: Rules,
    values: Mapping[str, Any],
    shared: Mapping[str, SourceText],
    known: Mapping[str, Any] | None,
    subject: str,
) -> Setting:
    utm = {"utm_source": "carillon", "utm_medium": str(node.channel), "utm_campaign": plan.campaign}
    utm["utm_content"] = f"{node.message}-{arm}" if arm else node.message
    setting = Setting(
        default_language=rules.languages[0],
        public_url=rules.public_url,
        brand_name=rules.name,
        brand_address=rules.address,
        is_marketing=plan.marketing and not node.is_ours,
        is_confirming=rules.topic(plan.topic).asks_for is not None,
        is_tracked=not node.is_ours,
        utm=utm,
        values=values,
        currency=rules.currency,
        shared=shared,
        subject=subject,
        footer={} if node.is_ours else rules.sms_footer if node.channel is Channel.SMS else rules.footer,
    )
    return setting if known is None else replace(setting, known={**known, "coupon": _of_coupon(node, rules)})


def _of_coupon(node: MessageNode, rules: Rules) -> tuple[str, ...]:
    """What a message may say of the code that its step gives: nothing where it gives none, no end where it has none."""
    if node.coupon is None:
        return ()
    pool = rules.coupons.get(node.coupon)
    return ("code",) if pool is None or pool.valid_for is None else ("code", "valid_until")


def _row(node: MessageNode, arm: str, language: str, content: Content) -> ContentOf:
    return ContentOf(node.id, arm, str(node.channel), language, content.hash, content.to_json(), content.links_json())
