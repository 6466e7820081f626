"""A rehearsal: a campaign's own flow, run once for every instant that is asked for, in one process.

Run as a program (`python -m flows.rehearse CAMPAIGN`): it reads an instant a line and answers each run with a line of
JSON, so that who asks can let people react in between. It ends with its input. Prefect is loaded once for all runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from flows.compile_campaign import campaign_flow


def rehearse(campaign: str, instants: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Run the campaign at each instant (with its offset), in the order given."""
    flow = campaign_flow(campaign)
    for instant in instants:
        yield {"now": instant, **flow(now=instant)}


def main() -> None:
    """Answer the instants on standard input, until it ends."""
    (campaign,) = sys.argv[1:]
    for done in rehearse(campaign, (line.strip() for line in sys.stdin)):
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
