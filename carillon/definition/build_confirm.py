"""The messages of the workspace itself: `messages/`, and whether a topic's `confirm` can ask with one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from carillon.definition.confirming import ASKS_BY, twice
from carillon.definition.model import MessageSource, SourceText, Topic, Workspace
from carillon.definition.nodes import Text
from carillon.definition.scalars import Reading
from carillon.definition.tree import Tree
from carillon.definition.workspace_words import WorkspaceWords
from carillon.kernel.channels import Channel
from carillon.kernel.problems import Position, did_you_mean

FOLDER = "messages"
LINK = "links.confirm"


def files_of_messages(tree: Tree) -> dict[str, bytes]:
    """The files below `messages/` of the workspace."""
    return {} if FOLDER in tree.campaigns() else tree.below(FOLDER)


def check_confirmations(
    words: WorkspaceWords,
    workspace: Workspace,
    messages: Mapping[str, MessageSource],
    shared: Mapping[str, SourceText],
    reading: Reading,
) -> None:
    """Note what keeps a topic from asking, and the messages by which none does."""
    asking = {name: topic.confirm for name, topic in (words.topics or {}).items() if topic.confirm is not None}
    for name, message in asking.items():
        topic = workspace.topics[name]
        _check_topic(topic, message, workspace, reading)
        for channel in twice(topic):
            if channel in ASKS_BY:
                _check_files(channel, message, messages, reading)
                _check_link(channel, message, messages.get(message), shared, reading)
    for unasked in sorted(messages.keys() - set(asking.values())):
        for path in messages[unasked].paths:
            reading.note(Position(path), 10, f'no topic asks with the message "{unasked}"', "confirm: …", warning=True)


def _check_topic(topic: Topic, message: Text, workspace: Workspace, reading: Reading) -> None:
    if not twice(topic):
        reading.note(
            message.at, 8, f'no channel of "{topic.name}" wants a second yes: nothing would be confirmed',
            "consent: {email: double}",
        )  # fmt: skip
    for channel in twice(topic):
        if channel not in ASKS_BY:
            reading.note(message.at, 8, f"{channel} cannot ask for a second yes", "email, sms")
        elif not workspace.senders.get(channel):
            reading.note(message.at, 4, f"no sender for {channel}", f"senders: {{{channel}: …}}")


def _check_files(channel: Channel, message: Text, messages: Mapping[str, MessageSource], reading: Reading) -> None:
    source = messages.get(message)
    missing = list(_missing(source, channel))
    if missing:
        near = did_you_mean(message, messages) if source is None else ""
        files = " and ".join(f"{FOLDER}/{message}{ending}" for ending in missing)
        are = "is" if len(missing) == 1 else "are"
        what = f'no message "{message}"' if source is None else f'the message "{message}" is not complete'
        hint = near if near.startswith("did") else ""
        reading.note(message.at, 4, f"{what}: {files} {are} missing", "", hint)


def _check_link(
    channel: Channel, message: Text, source: MessageSource | None, shared: Mapping[str, SourceText], reading: Reading
) -> None:
    """Whether the link stands anywhere; that it is seen in each language is asked when the message is compiled."""
    if source is None:
        return
    designs = (source.sms,) if channel is Channel.SMS else (source.mjml, source.html, source.txt)
    texts = [file.text for files in (*designs, shared) for file in files.values()]
    texts += [text for words in source.words.values() for text in words.texts.values()]
    if any(designs) and not any(LINK in text for text in texts):
        what = "text message" if channel is Channel.SMS else "mail"
        reading.note(
            message.at, 8, f'the {what} "{message}" has no link to confirm with', f"{{{{ {LINK} }}}} in its design"
        )


def _missing(source: MessageSource | None, channel: Channel) -> Iterator[str]:
    if channel is Channel.SMS:
        if source is None or not source.sms:
            yield ".sms.txt"
        return
    if source is None or not any(words.subject for words in source.words.values()):
        yield ".yaml"
    if source is None or not (source.mjml or source.html or source.txt):
        yield ".mjml"
