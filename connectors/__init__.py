"""Connectors: one folder per provider, each a translation table and nothing more.

A connector knows its provider's words, limits and signatures. It knows no campaign and no database, and it decides
nothing: it says in our words what became of a hand-over (`carillon.delivery.protocol`) and what was reported
(`carillon.feedback.model`). `make(settings)` in a folder's `connector.py` makes it from named settings.

To add a provider:

1. `connector.py`: a frozen `CAPABILITIES`, honest about what the provider cannot do (a plan that needs it is refused),
   a class with `name`, `capabilities`, `build`, `hand_over`, `close`, and `make(settings, *, name=...)`.
2. Requests go through `connectors.transport.Endpoint`. What an error or a status means is read from the one table there;
   a provider's own error codes get a table of their own beside the connector. Ask of every row: *can anything have
   left?* If that is not known, the outcome is `Unsure`, never `Deferred`.
3. Nothing is ever repeated inside a connector once a byte of a message may have left.
4. Our `cid` travels with every person and comes back with every report; nothing personal travels beside it.
5. `webhook.py`: `verify` works on raw bytes and returns False for whatever it cannot read; `parse` keeps the raw
   report, keeps unknown kinds as UNKNOWN, and gives a `natural_key` that is the same for every redelivery.
6. Values from outside (names, reasons, agents, URLs) are data: never format them into headers or queries unquoted.
7. Tests: requests checked against the provider's own specification or SDK; each row of the outcome tables once over a
   real socket; a signature made by the provider's SDK; duplicates, disorder and rubbish in webhooks.
8. Name it in `carillon/assembly.py` and, for the sandbox, give it a loopback double in `carillon/sandbox/`.
"""
