"""The gallery: every message of a campaign side by side as inboxes show it, as one HTML page that needs nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from carillon.foresight.preview import Preview
from carillon.reports.page import environment

_HEAD = re.compile(r"(?i)<head[^>]*>")
_NO_PICTURES = "<meta http-equiv=\"Content-Security-Policy\" content=\"img-src 'none'; style-src 'unsafe-inline'; script-src 'none'\">"


def gallery(title: str, previews: Sequence[Preview], timezone_note: str) -> str:
    """The whole page. What strangers wrote is escaped; each mail stands in a frame that runs no script."""
    template = environment().get_template("gallery.html")
    return template.render(title=title, previews=previews, note=timezone_note, without_pictures=without_pictures)


def without_pictures(html: str) -> str:
    """The mail as an inbox shows it that blocks pictures: only their `alt` is seen."""
    found = _HEAD.search(html)
    at = found.end() if found else 0
    return html[:at] + _NO_PICTURES + html[at:]
