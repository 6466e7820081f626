"""What is wrong with a workspace is said at its place, with what was expected and the nearest word."""

from __future__ import annotations

import pytest

from carillon.kernel.problems import in_order
from tests.definition.conftest import RIGHT, Shop


def test_a_right_workspace_has_no_problem(shop: Shop) -> None:
    """The small workspace of these tests is clean, so each problem below is made by its test."""
    assert shop.said() == ""


def test_an_unknown_message_is_answered_as_in_the_style_guide(shop: Shop) -> None:
    """A misspelt message: place, code, line, caret, nearest message."""
    shop.journey("  - {email: helo}\n")
    assert shop.said() == (
        'campaigns/sale/campaign.yaml:5:13  CAR204  no message "helo": messages/helo.yaml and messages/helo.mjml are missing\n'
        "      5 |   - {email: helo}\n"
        '        |             ^^^^ did you mean "hello"?\n'
        'campaigns/sale/messages/hello.txt  MSG410  warning: no step sends the message "hello"\n'
        'campaigns/sale/messages/hello.yaml  MSG410  warning: no step sends the message "hello"'
    )


JOURNEYS = {
    "unknown step": ("  - emial: hello\n", '5:5  CAR201  no step begins with "emial"'),
    "unknown key": ("  - {email: hello, onlyif: {segment: buyers}}\n", '5:20  CAR201  no key "onlyif" here'),
    "not a step": ("  - hello\n", '5:5  CAR203  the text "hello" stands here'),
    "bare m": ("  - email: hello\n  - wait: 5m\n", '6:11  CAR203  "m" could be minutes or months: write 5min or 5mo'),
    "a wait of nothing": ("  - email: hello\n  - wait: {at: 09:00}\n", "6:11  CAR203  this says not how long"),
    "days without a clock": ("  - email: hello\n  - wait: {days: 2}\n", "6:12  CAR203  the clock time is missing"),
    "an odd weekday": (
        "  - email: hello\n  - wait: {until: mondy, at: 09:00}\n",
        '6:19  CAR203  no weekday "mondy"; did you mean "monday"?',
    ),
    "no otherwise": (
        "  - email: hello\n  - choose: [{if: {clicked: hello}, then: {exit: x}}]\n",
        "6:5  CAR202  `otherwise` must be written",
    ),
    "an unknown step in a condition": (
        "  - email: hello\n    only_if: {clicked: helo}\n",
        '6:24  CAR204  no step or message "helo"',
    ),
    "never reached": (
        "  - email: hello\n  - exit: done\n  - wait: 3d\n",
        '7:5  CAR206  this step is never reached: nobody gets past "exit.done"',
    ),
    "never reached behind branches": (
        "  - email: hello\n  - split: {a: {then: {exit: a}}, b: {then: {exit: b}}}\n  - wait: 3d\n",
        '7:5  CAR206  this step is never reached: nobody gets past "split.email.hello"',
    ),
    "two alike": (
        "  - email: hello\n  - wait: 1d\n  - wait: 2d\n",
        '7:5  CAR205  two steps are called "wait.email.hello"; the first on line 6',
    ),
    "shares over all": (
        "  - email: hello\n  - split: {a: {share: 70%, then: []}, b: {share: 40%, then: []}}\n",
        "6:5  CAR203  the shares add up to 110%",
    ),
    "no percent": (
        "  - email: hello\n  - split: {a: {share: 70, then: []}, b: {then: []}}\n",
        '6:24  CAR203  "70" has no percent sign',
    ),
    "a variant without words": (
        "  - email: hello\n    test: {variants: [plain, personal]}\n",
        '6:30  CAR204  no words of the variant "personal" stand in messages/hello.yaml',
    ),
    "one variant": (
        "  - email: hello\n    test: {variants: [plain]}\n",
        "6:12  CAR203  a test needs two variants or more",
    ),
    "an unknown value": (
        "  - email: hello\n    valid_until: {value: sale_end}\n",
        '6:18  CAR204  no value "sale_end" in values.yaml',
    ),
    "two conditions in one": (
        "  - email: hello\n    only_if: {segment: buyers, reachable: sms}\n",
        '6:32  CAR201  "segment" and "reachable" stand in one condition',
    ),
    "an unknown operator": (
        "  - email: hello\n    only_if: {contact: {age: {ovr: 3}}}\n",
        '6:31  CAR201  no operator "ovr"',
    ),
    "an operator of another type": (
        "  - email: hello\n    only_if: {contact: {birthday: {over: 3}}}\n",
        '6:36  CAR203  "over" is nothing that can be asked of "birthday", a date',
    ),
    "an unknown field": (
        "  - email: hello\n    only_if: {contact: {teir: gold}}\n",
        '6:25  CAR204  a contact has no field "teir"',
    ),
    "a word that is none": (
        "  - email: hello\n    only_if: {contact: {tier: gol}}\n",
        '6:31  CAR203  "gol" is none of the words of "tier"',
    ),
    "no trigger": (
        "  - email: hello\n    only_if: {trigger: {total: 3}}\n",
        "6:15  CAR203  nothing triggers here: `trigger` needs an entry by event",
    ),
    "no after": (
        "  - email: hello\n  - wait_for: [{if: {clicked: hello}, then: {exit: x}}]\n",
        "6:5  CAR202  `after` must be written: how long it is waited at most",
    ),
    "after in the middle": (
        "  - email: hello\n  - wait_for: [{after: 3d, then: []}, {if: {clicked: hello}, then: []}]\n",
        "6:17  CAR203  `after` stands alone, at the end",
    ),
    "waiting for what has not happened": (
        "  - email: hello\n  - wait_for: [{if: {event: order_completed, count: 0}, then: []}, {after: 3d, then: []}]\n",
        "6:17  CAR203  this holds on arrival already: `wait_for` waits for something to happen",
    ),
    "then beside a list": (
        "  - email: hello\n  - wait_for: [{if: {clicked: hello}, then: []}, {after: 3d, then: []}]\n    then: {exit: x}\n",
        "7:5  CAR203  `then` stands beside a list, whose outcomes have their own",
    ),
    "no answer": (
        "  - email: hello\n    only_if: {answer: {total: 3}}\n",
        "6:15  CAR203  there is no answer: no `wait_for` in this journey waits for an event",
    ),
    "a misspelt answer": (
        "  - wait_for: {event: order_completed, within: 3d}\n  - email: hello\n    only_if: {answer: {totl: {over: 3}}}\n",
        '7:24  CAR204  the answer has no field "totl"',
    ),
    "a date that is none": (
        "  - wait: {until: {date: age}, at: 09:00}\n  - email: hello\n",
        '5:26  CAR203  "age" is a number, no date',
    ),
    "a date without a clock": (
        "  - wait: {until: {date: birthday}}\n  - email: hello\n",
        "5:20  CAR203  the clock time is missing",
    ),
    "an unknown date": (
        "  - wait: {until: {date: birthdy}, at: 09:00}\n  - email: hello\n",
        '5:26  CAR204  no date of a contact "birthdy"',
    ),
    "a field that campaigns do not set": (
        "  - set: {tier: gold}\n  - email: hello\n",
        '5:11  CAR203  "tier" is not set by campaigns',
    ),
    "a value of another type": (
        "  - set: {score: high}\n  - email: hello\n",
        '5:18  CAR203  "high" is not a number',
    ),
    "entering oneself": (
        "  - enter: sale\n  - email: hello\n",
        "5:12  CAR203  nobody enters the campaign that they are under way in",
    ),
    "one way": (
        "  - first_reachable: [{email: hello}]\n",
        "5:5  CAR203  one way is no choice",
    ),
    "two ways alike": (
        "  - first_reachable: [{email: hello}, {email: hello}]\n",
        "5:40  CAR203  nobody gets this one: email stands before it already",
    ),
    "notify nobody": ("  - notify: hello\n", "5:5  CAR202  notify whom?"),
    "notify the contact": (
        '  - {notify: hello, to: "{{ contact.email }}"}\n',
        "5:25  CAR203  notify writes to one of ours, not to the contact",
    ),
    "no mailbox": ("  - {notify: hello, to: sales}\n", '5:25  CAR203  "sales" is no mailbox'),
    "a test of ours": (
        "  - {notify: hello, to: a@b.example, test: {variants: [x, y]}}\n",
        "5:38  CAR208  notify goes to one of ours: nobody answers it, so that nothing could be compared",
    ),
    "no such webhook": ("  - webhook: desk\n", '5:14  CAR204  no webhook "desk"'),
    "not available yet": ("  - email: hello\n  - push: call\n", '6:5  LATER  "push" is not available yet'),
}


@pytest.mark.parametrize(("journey", "answer"), JOURNEYS.values(), ids=JOURNEYS)
def test_a_wrong_step_is_the_only_problem(shop: Shop, journey: str, answer: str) -> None:
    """One slip gives one problem, whatever follows from it."""
    shop.journey(journey)
    errors = [f"{p.position}  {p.code}  {p.message}" for p in shop.load().errors]
    assert errors == [f"campaigns/sale/campaign.yaml:{answer}"]


TOPS = {
    "the best time of a leader": (
        (
            "topic: offers\naudience: everyone\nentry: {at: 2026-12-01 09:00}\njourney:\n"
            "  - {email: hello, send_time: best, test: {variants: [a, b], send_leader: {by: clicks}}}\n"
        ),
        "5:20  CAR203  the leader's sample leaves at once and the rest at one hour",
    ),
    "unknown topic": ("topic: ofers\nentry: {api: true}\n", '1:8  CAR204  no topic "ofers"'),
    "unknown segment": (
        "topic: offers\nentry: {api: true}\naudience: {segment: buyer}\n",
        '3:21  CAR204  no segment "buyer"',
    ),
    "unknown event": (
        "topic: offers\nentry: {event: cart_update}\n",
        '2:16  CAR204  no event "cart_update"',
    ),
    "unknown sender": ("topic: offers\nsender: shpo\nentry: {api: true}\n", '2:9  CAR204  no sender "shpo"'),
    "unknown campaign": (
        "topic: offers\nentry: {api: true}\naudience: {exclude: {enrolled_in: sael}}\n",
        '3:35  CAR204  no campaign "sael"',
    ),
    "audience not written": (
        "topic: offers\nentry: {every: monday, at: 10:00}\n",
        "2:8  CAR202  who gets it must be written",
    ),
    "a date without a clock": (
        "topic: offers\naudience: everyone\nentry: {at: 2026-12-01}\n",
        "3:13  CAR203  the clock time is missing: 2026-12-01 09:00",
    ),
    "no such day": (
        "topic: offers\naudience: everyone\nentry: {at: 2026-02-30 09:00}\n",
        "3:13  CAR203  there is no 2026-02-30 in the calendar",
    ),
    "an entry after the end": (
        "topic: offers\nends: 2026-01-01 00:00\naudience: everyone\nentry: {at: 2026-12-01 09:00}\n",
        "4:8  CAR209  nobody enters: the campaign ends on 2026-01-01 00:00",
    ),
    "exit without a goal": (
        "topic: offers\nexit_on: [goal]\nentry: {api: true}\n",
        '2:11  CAR202  there is no goal: "goal" must be written',
    ),
    "a goal of no worth": (
        "topic: offers\ngoal: {event: order_completed, value: order_id}\nentry: {api: true}\n",
        '2:39  CAR203  "order_id" is a word, which is worth nothing',
    ),
    "the same without a trigger": (
        "topic: offers\ngoal: {event: order_completed, same: cart_id}\nentry: {api: true}\n",
        "2:38  CAR203  nothing triggers this campaign, so nothing can be the same",
    ),
    "a leader without a rest": (
        "topic: offers\nentry: {api: true}\njourney: [{email: hello, test: {variants: [a, b], send_leader: {}}}]\n",
        "3:51  CAR207  a leader needs a rest to be sent to: only `at` and `every` entries have one",
    ),
    "a number of nobody": (
        "topic: offers\nentry: {at: 2026-12-01 09:00}\naudience: everyone\nexpect: {audience: 20-10}\njourney: [{email: hello}]\n",
        "4:20  CAR203  20-10 holds no number: it ends below its beginning",
    ),
    "a number without a wave": (
        "topic: offers\nentry: {api: true}\nexpect: {audience: 10-20}\njourney: [{email: hello}]\n",
        "3:9  CAR207  only a wave can be counted, and who enters here comes one by one",
    ),
    "a yes of nobody": (
        "topic: offers\nentry: {api: true}\napproval: {by: []}\njourney: [{email: hello}]\n",
        "3:12  CAR203  nobody could ever say yes",
    ),
    "always, once a thing": (
        "topic: offers\nentry: {event: cart_updated, once_per: cart_id, again: always}\n",
        (
            "2:49  CAR207  `again: always` means nothing here: "
            "each thing enters once; write `again: after 3d` or leave it out"
        ),
    ),
    "a holdout of a duty": (
        "topic: service\nholdout: 10%\nentry: {api: true}\n",
        '2:1  CAR208  "service" is transactional: nobody is held out of it',
    ),
    "a bare again": (
        "topic: offers\nentry: {event: cart_updated, again: 30d}\n",
        '2:37  CAR203  write "after 30d"',
    ),
    "a priority out of range": (
        "topic: offers\npriority: 101\nentry: {api: true}\n",
        "2:11  CAR203  101 is not between 0 and 100",
    ),
    "nothing written": ("topic: offers\nentry:\n", "2:1  CAR203  nothing stands after the colon"),
}


@pytest.mark.parametrize(("top", "answer"), TOPS.values(), ids=TOPS)
def test_a_wrong_key_on_top_is_the_only_problem(shop: Shop, top: str, answer: str) -> None:
    """The keys of a campaign: one slip, one problem."""
    words = "subject: Hello\nvariants: {b: {subject: Hi}}\n"
    journey = "" if "journey" in top else "journey: [{email: hello}]\n"
    shop.put({"sale/campaign.yaml": top + journey, "sale/messages/hello.yaml": words})
    errors = [f"{p.position}  {p.code}  {p.message}" for p in shop.load().errors]
    assert errors == [f"campaigns/sale/campaign.yaml:{answer}"]


FILES: dict[str, tuple[dict[str, str | bytes | None], list[str]]] = {
    "an empty campaign": (
        {"sale/campaign.yaml": "", "sale/messages/hello.yaml": None, "sale/messages/hello.txt": None},
        ["campaigns/sale/campaign.yaml  YAML117  the file is empty"],
    ),
    "keys missing": (
        {"sale/campaign.yaml": "title: x\n", "sale/messages/hello.yaml": None, "sale/messages/hello.txt": None},
        [
            'campaigns/sale/campaign.yaml  CAR202  the key "entry" is missing',
            'campaigns/sale/campaign.yaml  CAR202  the key "journey" is missing',
            'campaigns/sale/campaign.yaml  CAR202  the key "topic" is missing',
        ],
    ),
    "segments in a circle": (
        {"segments/a.yaml": "who: {segment: b}\n", "segments/b.yaml": "who: [{not: {segment: c}}]\n",
         "segments/c.yaml": "who: {any: [{segment: a}, {segment: buyers}]}\n"},
        ["campaigns/segments/a.yaml:1:1  SEG305  the segment asks for itself: a → b → c → a"],
    ),
    "a segment that asks for itself": (
        {"segments/a.yaml": "who: {segment: a}\n"},
        ["campaigns/segments/a.yaml:1:1  SEG305  the segment asks for itself: a → a"],
    ),
    "a step in a segment": (
        {"segments/a.yaml": "who: {clicked: hello}\n"},
        ["campaigns/segments/a.yaml:1:16  SEG303  there are no steps here"],
    ),
    "a type that is none": (
        {"data.yaml": "contact: {age: numbr}\nevents: {order_completed: {total: money}}\n"},
        ['campaigns/data.yaml:1:16  DAT503  no type "numbr"'],
    ),
    "a bad name": (
        {"segments/Best-Buyers.yaml": "who: {event: order_completed}\n"},
        ['campaigns/segments/Best-Buyers.yaml  SEG303  "Best-Buyers" is not a name for a segment'],
    ),
    "files that nothing reads": (
        {"sale/messages/hello.docx": "x", "sale/notes.yaml": "a: b\n", "sale/messages/hello.fr.txt": "x", "typo.yaml": "x"},
        [
            "campaigns/sale/messages/hello.docx  MSG410  nothing reads this file: its name fits to no message",
            'campaigns/sale/messages/hello.fr.txt  MSG410  nothing reads this file: "fr" is none of the languages in workspace.yaml',
            "campaigns/sale/notes.yaml  CAR210  nothing reads this file",
            "campaigns/typo.yaml  WSP110  nothing reads this file",
        ],
    ),
    "a message in the wrong encoding": (
        {"sale/messages/hello.txt": "grün".encode("latin-1")},
        ["campaigns/sale/messages/hello.txt:1:3  YAML102  the file is not UTF-8; it looks like Windows-1252 or Latin-1"],
    ),
    "a misspelt word of a message": (
        {"sale/messages/hello.yaml": "subject: Hello\nsubjct: x\n"},
        ['campaigns/sale/messages/hello.yaml:2:1  MSG401  no key "subjct" here'],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "answers"), FILES.values(), ids=FILES)
def test_a_wrong_file_is_named(shop: Shop, files: dict[str, str | bytes | None], answers: list[str]) -> None:
    """Segments, data, names and stray files."""
    assert shop.put(files).headlines() == answers


WORKSPACES = {
    "no address": ("address: Acme GmbH, Berlin\n", "", "9:3  WSP105  marketing mail must bear the brand's postal address"),
    "no zone": ("Europe/Berlin", "Europe/Berln", '2:11  WSP103  no time zone "Europe/Berln"; did you mean "Europe/Berlin"?'),
    "no channel": (", consent: {email: explicit, sms: explicit}", "", '10:3  WSP102  no channel stands under "offers": nothing would be sent'),
    "a country": ("[GB]", "[gb]", "5:18  WSP103  this is not a country"),
    "a sender without address": ("from: Acme <hello@acme.example>", "from: Acme", "7:38  WSP102  an e-mail sender needs an address"),
    "a misspelt limit": ("currency: EUR\n", "currency: EUR\nholdout: 5\n", '4:10  WSP103  "5" has no percent sign'),
    "codes outside": (
        "currency: EUR\n", "currency: EUR\ncoupons: {spring: {file: ../codes.csv}}\n",
        "4:26  WSP103  the file lies outside of the workspace",
    ),
    "no codes": (
        "currency: EUR\n", "currency: EUR\ncoupons: {spring: {file: coupons/spring.csv}}\n",
        "4:26  WSP104  no file coupons/spring.csv is here: nothing of it is laid in",
    ),
    "a coupon of no pool": (
        "currency: EUR\n", "currency: EUR\ncoupons: {spring: {}}\nexclude: [{coupon: sprung, is: unused}]\n",
        '5:20  WSP104  no pool of coupons "sprung"',
    ),
    "a coupon without end": (
        "currency: EUR\n", "currency: EUR\ncoupons: {spring: {}}\nexclude: [{coupon: spring, is: expired}]\n",
        '5:20  WSP103  codes of "spring" are good for ever: none expires',
    ),
}  # fmt: skip


LIMITS = {
    "a cap of nothing": ("caps: [{max: 3, per: 7d}]", "8  WSP102  this says not of what"),
    "a cap of no period": ("caps: [{channel: any, max: 3, per: fortnight}]", '36  WSP103  "fortnight" is no period'),
    "a cap of uneven months": ("caps: [{channel: any, max: 3, per: 1mo}]", "36  WSP103  1mo is not the same length everywhere"),
    "a cap of minutes": ("caps: [{channel: any, max: 3, per: 5min}]", "36  WSP103  5min is too short for a cap"),
    "a cap of no topic": ("caps: [{topic: ofers, max: 3, per: 7d}]", '16  WSP104  no topic "ofers"'),
    "a cap of orders": ("caps: [{topic: service, max: 3, per: 7d}]", '16  WSP108  "service" is transactional: no cap holds for it'),
    "all slots kept free": (
        "caps: [{channel: any, max: 1, per: 7d, keep_free: {slots: 1, priority: 80}}]",
        "51  WSP103  with 1 of 1 kept free nothing is left for others",
    ),
    "full, and then": ("caps: [{channel: any, max: 1, per: 7d, when_full: wait}]", '51  WSP103  "wait" says not what to do'),
    "a day of quiet": ("quiet_hours: {sms: 08:00-08:00}", '20  WSP103  "08:00-08:00" is the whole day: nothing would ever leave'),
    "a blackout backwards": (
        "blackouts: [{from: 2026-12-27 08:00, to: 2026-12-24 14:00}]", "38  WSP109  it ends before it begins",
    ),
    "no rate": ("pace: {sms: 50}", "13  WSP103  this is no rate"),
    "no growth": ("pace: {sms: {start: 50/d, grow: 1}}", "27  WSP103  it would not grow"),
}  # fmt: skip


@pytest.mark.parametrize(("limits", "answer"), LIMITS.values(), ids=LIMITS)
def test_a_limit_that_cannot_be_meant_is_named(shop: Shop, limits: str, answer: str) -> None:
    """limits: one slip, one problem, at its place."""
    text = (shop.folder / "workspace.yaml").read_text()
    key, _, rest = limits.partition(": ")
    shop.put({"workspace.yaml": text + f"limits:\n  {key}: {rest}\n"})
    line = text.count("\n") + 2
    column, _, said = answer.partition("  ")
    assert shop.headlines() == [f"campaigns/workspace.yaml:{line}:{int(column) + 2}  {said}"]


@pytest.mark.parametrize(("was", "now", "answer"), WORKSPACES.values(), ids=WORKSPACES)
def test_a_wrong_workspace_is_named(shop: Shop, was: str, now: str, answer: str) -> None:
    """workspace.yaml: one slip, one problem."""
    text = (shop.folder / "workspace.yaml").read_text()
    assert was in text
    shop.put({"workspace.yaml": text.replace(was, now)})
    assert shop.headlines() == [f"campaigns/workspace.yaml:{answer}"]


def test_a_channel_that_the_topic_does_not_name_would_reach_nobody(shop: Shop) -> None:
    """An SMS under a topic without consent for SMS is an error, and one without a sender too."""
    text = (shop.folder / "workspace.yaml").read_text()
    text = text.replace(", sms: explicit", "").replace("  sms: {connector: sandbox, from: ACME}\n", "")
    shop.put({"workspace.yaml": text, "sale/messages/hello.sms.txt": "Hi"}).journey("  - sms: hello\n")
    assert shop.headlines() == [
        "campaigns/sale/campaign.yaml:5:10  CAR204  no sender for sms",
        'campaigns/sale/campaign.yaml:5:10  CAR208  nobody would get it: sms does not stand under the topic "offers"',
    ]


def test_no_workspace_at_all_is_one_problem(tmp_path: Shop) -> None:
    """A folder without workspace.yaml says how to make one."""
    from pathlib import Path

    from carillon.definition.load import load_workspace

    empty = Path(str(tmp_path)) / "campaigns"
    problems = load_workspace(empty).problems
    assert [(p.code, p.suggestion) for p in problems] == [("WSP102", "carillon init DIR makes a new one")]


def test_errors_of_a_campaign_leave_the_others_alone(shop: Shop) -> None:
    """What is wrong in one campaign does not forbid another; what all share forbids every one."""
    shop.put({"other/campaign.yaml": "topic: nothing\nentry: {api: true}\njourney: []\n"})
    loaded = shop.load()
    assert loaded.errors_of("sale") == []
    assert [p.code for p in loaded.errors_of("other")] == ["CAR204"]
    shop.put({"segments/buyers.yaml": "who: {event: x}\n"})
    assert [p.code for p in shop.load().errors_of("sale")] == ["SEG304"]


def test_a_campaign_with_an_unreadable_part_is_not_handed_on(shop: Shop) -> None:
    """Half a campaign must not be planned: it is missing among the campaigns."""
    shop.journey("  - email: hello\n  - wait: 3 fortnights\n")
    assert shop.load().campaigns == {}


def test_problems_come_in_order_and_once(shop: Shop) -> None:
    """Sorted by file and place, without doubles."""
    problems = shop.journey("  - email: x\n  - emial: y\n").load().problems
    assert problems == in_order([*problems, *problems])


def test_a_coupon_in_a_transactional_topic_is_an_error(shop: Shop) -> None:
    """Orders and deliveries carry no advertising; that there is no such pool is said beside it."""
    shop.put({"sale/campaign.yaml": "topic: service\nentry: {api: true}\njourney: [{email: hello, coupon: spring}]\n"})
    assert shop.headlines() == [
        'campaigns/sale/campaign.yaml:3:26  CAR208  "service" is transactional: no coupon may stand in it',
        'campaigns/sale/campaign.yaml:3:34  CAR204  no pool of coupons "spring"',
    ]


def test_values_of_segments_reach_into_lists_of_things(shop: Shop) -> None:
    """A misspelt field inside a thing is named with its nearest word."""
    shop.put({"segments/buyers.yaml": "who: {event: order_completed, where: {products: {categry: shoes}}}\n"})
    assert shop.said() == (
        'campaigns/segments/buyers.yaml:1:50  SEG304  "products" has no field "categry"\n'
        "      1 | who: {event: order_completed, where: {products: {categry: shoes}}}\n"
        '        |                                                  ^^^^^^^ did you mean "category"?'
    )


AMOUNTS = """\
Hi {{ links.unsubscribe }}
{{ contact.credit | money }} of {{values.limit|money}}, {{ trigger.total | money: trigger.currency }}
{% for p in trigger.products %}{{ p.price | default: 0 | money }} {{ p.price | money }}{% endfor %}
{{ trigger.total | money }}
"""


def test_an_amount_without_its_currency_is_warned_of_where_events_come_in_several(shop: Shop) -> None:
    """With `rates` each such place teaches what to write, in messages and in shared texts; without them nothing is said."""
    shop.put({"sale/messages/hello.txt": AMOUNTS, "shared/total.html": "<b>{{- trigger.total | money -}}</b>\n"})
    assert shop.said() == ""
    shop.put({"workspace.yaml": RIGHT["workspace.yaml"] + "rates: {USD: 0.92}\n"})
    problems = shop.load().problems
    assert [(str(p.position), p.code, p.severity) for p in problems] == [
        ("campaigns/sale/messages/hello.txt:3:35", "MSG434", "warning"),
        ("campaigns/sale/messages/hello.txt:3:70", "MSG434", "warning"),
        ("campaigns/sale/messages/hello.txt:4:4", "MSG434", "warning"),
        ("campaigns/shared/total.html:1:8", "MSG434", "warning"),
    ]
    assert "so many USD would be written as so many EUR" in shop.said()
    assert "{{ trigger.total | money: trigger.currency }}" in shop.said()
    assert "{{ p.price | default: 0 | money: trigger.currency }}" in shop.said()
