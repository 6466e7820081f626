"""Contents of what reaches one of ours: whom a mail is written to, and which columns a webhook tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from carillon.definition.model import Recipient
from carillon.messages.content import Content
from carillon.plan.model import MessageNode
from carillon.plan.rules import Rules


def addressed(content: Content, to: Recipient | None) -> Content:
    """The content with its recipient, whose field is one column more; itself for a message to the contact."""
    if to is None:
        return content
    path = f"contact.{to.field}" if to.field else ""
    paths = tuple(dict.fromkeys((*content.paths, path))) if path else content.paths
    return replace(content, to=to.address, to_path=path, paths=paths)


def call_content(
    node: MessageNode, rules: Rules, trigger: Iterable[str] | None, money_paths: tuple[str, ...]
) -> Content:
    """What a webhook tells: the contact's id, the fields that its line of workspace.yaml names, and the trigger."""
    fields = next((s.fields for s in rules.senders if s.channel == node.channel and s.name == node.message), ())
    paths = ("contact.id", *(f"contact.{name}" for name in fields), *(f"trigger.{name}" for name in trigger or ()))
    paths = tuple(dict.fromkeys(paths))
    money = tuple(path for path in money_paths if path.partition("[]")[0] in paths)
    return Content(node.channel, rules.languages[0], "", "", is_marketing=False, paths=paths, money_paths=money)
