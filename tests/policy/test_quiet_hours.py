"""Quiet hours and blackouts: nothing leaves in them on the contact's own clock, and it leaves as soon as they end."""

from __future__ import annotations

from carillon.advance.advance import Advanced
from carillon.delivery.reserve import reserve
from carillon.feedback.fold import fold
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.store.zones import ready_for_zones
from tests.shop import Shop, instant

QUIET = "limits: {quiet_hours: {email: 21:00-08:00}}\n"
ONCE = "entry: {event: cart_updated, again: always}\njourney:\n  - email: hello\n"


def started(shop: Shop, workspace: str, campaign: str = ONCE, name: str = "cart") -> Shop:
    shop.workspace(workspace)
    shop.campaign(name, campaign)
    shop.apply()
    return shop


def told(run: Advanced, step: str) -> dict[str, int]:
    """What the first decision about a step was."""
    return dict(next(stage.counts for stage in run.stages if stage.step == step))


def test_a_message_due_at_night_leaves_in_the_morning(any_shop: Shop) -> None:
    """In London at 22:30 it waits until 08:00 there; in New York it is afternoon, and it leaves at once."""
    shop = started(any_shop, QUIET)
    shop.contact("ada", timezone="Europe/London")
    shop.contact("bob", timezone="America/New_York")
    shop.at("2026-11-02 23:30")
    for name in ("ada", "bob"):
        shop.event(name, "cart_updated")
    run = shop.run("cart")
    assert shop.inbox == ["bob"]
    assert shop.due("ada") == "2026-11-03 08:00"
    assert run.next_due == instant("2026-11-03T08:00+00:00")
    assert told(run, "email.hello") == {"later (quiet_hours)": 1, "ready": 1}
    shop.run("cart", "2026-11-03 08:59")
    assert shop.inbox == ["bob"]
    shop.run("cart", "2026-11-03 09:00")
    assert shop.inbox == ["bob", "ada"]


def test_what_follows_counts_from_the_hand_over(shop: Shop) -> None:
    """The wait behind a message that waited for the morning begins in the morning."""
    started(shop, QUIET, ONCE + "  - wait: 2h\n  - {email: hello, id: second}\n")
    shop.contact("ada", timezone="Europe/Berlin")
    shop.at("2026-11-02 22:00")
    shop.event("ada", "cart_updated")
    shop.run_to("cart", "2026-11-03 08:00")
    assert shop.due("ada") == "2026-11-03 09:00"


def test_a_step_may_only_be_stricter(shop: Shop) -> None:
    """At the step 18:00 to 10:00 holds beside the house's 21:00 to 08:00: both must be over."""
    started(shop, QUIET, ONCE.replace("email: hello", "{email: hello, quiet_hours: 18:00-10:00}"))
    shop.contact("ada", timezone="Europe/Berlin")
    shop.at("2026-11-02 18:30")
    shop.event("ada", "cart_updated")
    shop.run("cart")
    assert shop.due("ada") == "2026-11-03 09:00"


def test_whoever_would_wait_too_long_gets_nothing(any_shop: Shop) -> None:
    """Valid for six hours from when it fell due; where the night ends later it is expired, decided at once."""
    shop = started(any_shop, QUIET, ONCE.replace("email: hello", "{email: hello, valid_for: 6h}"))
    for name, zone in (("ada", "Europe/Berlin"), ("bob", "America/New_York"), ("cem", "Asia/Dubai")):
        shop.contact(name, timezone=zone)
    shop.at("2026-11-03 01:59")
    shop.event("ada", "cart_updated")
    shop.event("cem", "cart_updated")  # 04:59 in Dubai
    shop.at("2026-11-03 03:00")
    shop.event("bob", "cart_updated")  # 21:00 in New York
    shop.run("cart")
    assert shop.skips == {"bob": "expired"}
    assert shop.due("cem") == "2026-11-03 04:00"
    assert shop.due("ada") == "2026-11-03 07:00"
    shop.run_to("cart", "2026-11-03 08:30")
    assert shop.inbox == ["cem", "ada"]


def test_transactional_messages_leave_at_night(shop: Shop) -> None:
    """An order confirmation obeys neither quiet hours nor blackouts."""
    blackout = (
        "limits: {quiet_hours: {email: 21:00-08:00}, blackouts: [{from: 2026-11-01 00:00, to: 2026-11-09 00:00}]}\n"
    )
    started(shop, blackout, "topic: service\n" + ONCE, "order")
    shop.contact("ada", timezone="Europe/Berlin")
    shop.at("2026-11-02 23:30")
    shop.event("ada", "cart_updated")
    shop.run("order")
    assert shop.inbox == ["ada"]


def test_a_blackout_ends_into_quiet_hours(any_shop: Shop) -> None:
    """From Christmas Eve to the 27th at 06:00 nothing leaves, and then it is still quiet until 08:00."""
    shop = started(
        any_shop,
        "limits:\n  quiet_hours: {email: 21:00-08:00}\n"
        "  blackouts: [{from: 2026-12-24 14:00, to: 2026-12-27 06:00, channels: [email]}]\n",
    )
    shop.contact("ada", timezone="Europe/Berlin")
    shop.contact("bob", timezone="America/New_York")
    shop.at("2026-12-24 14:30")
    for name in ("ada", "bob"):
        shop.event(name, "cart_updated")
    run = shop.run("cart")
    assert shop.inbox == ["bob"]
    assert told(run, "email.hello") == {"later (blackout)": 1, "ready": 1}
    assert shop.due("ada") == "2026-12-27 07:00"


def test_a_blackout_of_one_channel_leaves_the_other_alone(shop: Shop) -> None:
    """Nothing about mail is said by a blackout of SMS."""
    started(shop, "limits: {blackouts: [{from: 2026-11-01 00:00, to: 2026-11-09 00:00, channels: [sms]}]}\n")
    shop.contact("ada")
    shop.at("2026-11-02 13:00")
    shop.event("ada", "cart_updated")
    shop.run("cart")
    assert shop.inbox == ["ada"]


def test_a_batch_that_was_not_handed_over_in_time_is_decided_anew(any_shop: Shop) -> None:
    """Reserved in the evening and held up until the night: nothing leaves, and in the morning it does."""
    shop = started(any_shop, QUIET)
    shop.contact("ada", timezone="Europe/Berlin")
    shop.at("2026-11-02 20:50")
    shop.event("ada", "cart_updated")
    reserved(shop, "cart")
    assert shop.sends("email.hello") == {"ada": "ready"}
    shop.run("cart", "2026-11-02 21:00")
    assert shop.inbox == []
    assert shop.due("ada") == "2026-11-03 07:00"
    shop.run("cart", "2026-11-03 08:00")
    assert shop.inbox == ["ada"]


def reserved(shop: Shop, name: str) -> None:
    """What has come in is decided, and nothing handed over, as by a run that was killed in between."""
    ready_for_zones(shop.store)
    fold(shop.store, shop.clock.now())
    ground = load_ground(shop.store, name, shop.clock.now())
    enter(ground)
    reserve([ground], max_people={})


def test_new_quiet_hours_hold_for_people_under_way(shop: Shop) -> None:
    """Limits are never frozen: who entered before they were applied obeys them, on the same version."""
    started(shop, "", ONCE.replace("  - email", "  - wait: 1h\n  - email"))
    shop.contact("ada", timezone="Europe/Berlin")
    shop.at("2026-11-02 22:00")
    shop.event("ada", "cart_updated")
    shop.run("cart")
    shop.workspace(QUIET)
    assert shop.apply() == ["unchanged"]
    shop.run("cart", "2026-11-02 23:00")
    assert shop.inbox == []
    assert shop.due("ada") == "2026-11-03 07:00"
