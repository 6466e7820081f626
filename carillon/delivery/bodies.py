"""Bodies: the content of each batch, mostly the newest, rendered by columns and made into a connector's parcel. Nothing is written.

Batches of one content share a query and a pass over its template's values; contents are parsed once a process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.moment import Moment
from carillon.definition.entries import OnEvent
from carillon.delivery.collected import COLLECTED, bundles_of, with_collected
from carillon.delivery.columns import Columns, fetch_columns
from carillon.delivery.editions import TextKey, content_ids, key_of
from carillon.delivery.model import Built, Needs, ReadyBatch
from carillon.delivery.ours import calls, mailboxes, unread
from carillon.delivery.parcels import (
    ERRORS_KEPT,
    RENDER_FAILED,
    TEMPLATE_SKIP,
    Letter,
    Unbuilt,
    make_parcel,
    some_people,
)
from carillon.delivery.protocol import Maker, People, Sender, Shared, SharedEmail, SharedSms
from carillon.kernel.channels import Channel
from carillon.kernel.clock import MINUTE, SECOND, Clock, Micros, from_micros
from carillon.kernel.time.zones import zone
from carillon.kernel.tokens import Keyring
from carillon.messages.columns import Columns as PeopleColumns
from carillon.messages.columns import with_amounts
from carillon.messages.content import Content, content_from_json
from carillon.messages.rendering import Occasion, Rendered, render
from carillon.plan.compile import plan_from_json
from carillon.plan.permissions import HousePermissions
from carillon.plan.rules import Rules
from carillon.plan.senders import sending_channel
from carillon.store.engine import Store
from carillon.store.tables import campaign, content, node, node_content, version

BUILDERS = 2
"""Who build at once: while one renders, the other waits for its columns. Rendering needs the interpreter, the store does not."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch comes from, as far as its bodies say so."""

    campaign: str
    step: str
    topic: str
    bundles: tuple[OnEvent, ...] = ()
    """The entries that collect."""


class Bodies:
    """Builds bodies for one `work`; remembers contents and places, which an apply replaces by new ids."""

    def __init__(
        self, store: Store, connectors: Mapping[str, Maker], rules: Rules, keyring: Keyring, clock: Clock
    ) -> None:
        self._store, self._connectors, self._rules, self._keyring = store, connectors, rules, keyring
        self._clock = clock
        self._contents: dict[int, Content | str] = {}
        self._versions: dict[int, tuple[str, tuple[OnEvent, ...]]] = {}
        self._rendering = Lock()
        """Two that render at once only take the interpreter from each other: one renders while another fetches."""
        self._several: set[int] = set()
        """Nodes with contents on several channels: `first_reachable`."""

    def build(self, batches: Sequence[ReadyBatch]) -> list[Built | Unbuilt]:
        """One answer a batch, in their order."""
        with self._store.read() as connection:
            contents = self._texts(connection, batches)
            places = self._places(connection, {b.node_id for b in batches})
            columns = self._columns(connection, batches, contents, places)
        with self._rendering:
            return [self._safely(b, contents.get(key_of(b)), places.get(b.node_id), columns.get(b.id)) for b in batches]

    def _safely(
        self, batch: ReadyBatch, found: Content | str | None, place: Place | None, columns: Columns | None
    ) -> Built | Unbuilt:
        if isinstance(found, str):
            return Unbuilt(batch.id, found)
        try:
            return self._one(batch, found, place, columns)
        except Exception as error:  # one message must not keep the others from going out
            return Unbuilt(batch.id, f"{type(error).__name__}: {error}"[:ERRORS_KEPT])

    def _texts(self, connection: Connection, batches: Sequence[ReadyBatch]) -> dict[TextKey, Content | str]:
        c = node_content.c
        nodes = sorted({b.node_id for b in batches})
        channels = connection.execute(sa.select(c.node_id, c.channel).where(c.node_id.in_(nodes)).distinct()).all()
        self._several |= {node_id for node_id, n in Counter(node_id for node_id, _ in channels).items() if n > 1}
        ids = content_ids(connection, map(key_of, batches))
        missing = set(ids.values()) - self._contents.keys()
        stored = sa.select(content.c.id, content.c.compiled).where(content.c.id.in_(missing))
        for content_id, compiled in connection.execute(stored) if missing else ():
            self._contents[content_id] = _read(compiled)
        return {key: self._contents[content_id] for key, content_id in ids.items()}

    def _places(self, connection: Connection, nodes: set[int]) -> dict[int, Place]:
        rows = connection.execute(
            sa.select(node.c.id, node.c.step_id, campaign.c.name, campaign.c.live_version)
            .join_from(node, campaign, campaign.c.id == node.c.campaign_id)
            .where(node.c.id.in_(nodes), campaign.c.live_version.is_not(None))
        )
        return {
            row.id: Place(row.name, row.step_id, *self._version(connection, row.live_version)) for row in rows.all()
        }

    def _version(self, connection: Connection, version_id: int) -> tuple[str, tuple[OnEvent, ...]]:
        if version_id not in self._versions:
            plan_json = connection.execute(
                sa.select(version.c.plan_json).where(version.c.id == version_id)
            ).scalar_one()
            plan = plan_from_json(plan_json)
            self._versions[version_id] = plan.topic, bundles_of(plan)
        return self._versions[version_id]

    def _columns(
        self,
        connection: Connection,
        batches: Sequence[ReadyBatch],
        contents: Mapping[TextKey, Content | str],
        places: Mapping[int, Place],
    ) -> dict[int, Columns]:
        alike: dict[tuple[Channel, tuple[str, ...], str], list[ReadyBatch]] = {}
        for b in batches:
            if isinstance(its := contents.get(key_of(b)), Content):
                place = places.get(b.node_id)
                collecting = place.campaign if place is not None and place.bundles and COLLECTED in its.paths else ""
                alike.setdefault((b.channel, its.paths, collecting), []).append(b)
        found: dict[int, Columns] = {}
        for (channel, paths, collecting), same in alike.items():
            columns = fetch_columns(connection, channel, [b.id for b in same], paths)
            if collecting:
                columns = with_collected(connection, columns, places[same[0].node_id].bundles, self._moment())
            found |= columns
        return found

    def _moment(self) -> Moment:
        return Moment(self._clock.now(), self._store.dialect, self._rules.timezone)

    def _one(
        self, batch: ReadyBatch, found: Content | None, place: Place | None, columns: Columns | None
    ) -> Built | Unbuilt:
        if found is None or place is None:
            return Unbuilt(batch.id, f"nothing is applied for this message in {batch.language or 'any language'}")
        sender = self._sender(batch)
        if sender is None:
            return Unbuilt(batch.id, f'no sender "{batch.sender}" for {batch.channel}')
        house = HousePermissions(self._rules)
        kind = house.kind(place.topic, batch.channel.value)
        needs = Needs(house.of(place.topic), kind, batch.node_id in self._several)
        connector = self._connectors[batch.connector]
        if columns is None:
            return Built(batch, (), (), (), needs, connector.capabilities.whole)
        if batch.channel is Channel.WEBHOOK:
            letter = calls(place.campaign, place.step, sender, found, columns, self._keyring, batch.node_id)
            return make_parcel(connector, batch, letter, needs)
        now = self._clock.now()
        people = PeopleColumns(len(columns.enrolments), with_amounts(columns.values, found.money_paths))
        occasion = Occasion(self._keyring, batch.node_id, columns.enrolments, self._local(now))
        rendered = render(found, people, occasion, connector.capabilities.spelling)
        return make_parcel(connector, batch, self._letter(batch, place, sender, found, columns, rendered, now), needs)

    def _local(self, now: Micros) -> datetime:
        # To the minute: what is rendered once for equal values may be kept as long as `now` is the same.
        return from_micros(now // MINUTE * MINUTE).astimezone(zone(self._rules.timezone))

    def _sender(self, batch: ReadyBatch) -> Sender | None:
        for s in self._rules.senders:
            if s.channel == sending_channel(batch.channel) and s.name == batch.sender:
                return Sender(s.address, s.display_name, s.reply_to, s.messaging_service, s.url)
        return None

    def _letter(
        self, batch: ReadyBatch, place: Place, sender: Sender, found: Content, columns: Columns, rendered: Rendered,
        now: Micros,
    ) -> Letter:  # fmt: skip
        message: Shared
        if batch.channel is not Channel.SMS:
            step = f"{place.campaign}/{place.step}"
            categories = (place.campaign, step, f"{step}/{batch.arm}") if batch.arm else (place.campaign, step)
            message = SharedEmail(
                sender, rendered.subject, rendered.html, rendered.text, rendered.shared_headers, categories
            )
        else:
            message = SharedSms(sender, rendered.text, f"{self._rules.public_url}/webhooks/{batch.connector}")
        words = dict.fromkeys(rendered.skipped, TEMPLATE_SKIP) | dict.fromkeys(rendered.failed, RENDER_FAILED)
        addresses, cids = columns.addresses, rendered.cids
        if batch.channel is Channel.NOTIFY:
            addresses, cids = mailboxes(found, columns), unread(cids)
        spelling = self._connectors[batch.connector].capabilities.spelling
        people = People([address or "" for address in addresses], cids, rendered.values, rendered.headers, spelling)
        kept = [row for row, address in enumerate(addresses) if address is not None and row not in words]
        left_s = None if batch.not_after is None else max(1, (batch.not_after - now) // SECOND)
        skips = {columns.enrolments[row]: word for row, word in words.items()}
        return Letter(message, some_people(people, kept), [columns.enrolments[row] for row in kept], skips, left_s)


def _read(compiled: str) -> Content | str:
    """The stored content, or why it cannot be read."""
    try:
        return content_from_json(compiled)
    except ValueError as error:
        return str(error)
