"""Consents and suppressions from files, and data.yaml guessed from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from carillon.people.suggest import suggest_from_file, suggest_from_store
from carillon.store import tables as t

CONSENTS = """\
contact,topic,channel,state,at,evidence
ada,offers,email,yes,2025-05-01 10:00,form 7
ada,offers,email,no,2025-06-01 10:00,
bob,offers,sms,confirmed,2025-05-01,
zoe,offers,sms,yes,2025-05-01,
ada,ofers,email,yes,2025-05-01,
"""


def test_consents_keep_evidence_and_repeat_harmlessly(shop: Any) -> None:
    """The newest word rules; unknown contacts and topics are refused by name."""
    shop.imports("contacts", "id\nada\nbob\n")
    first, again = (shop.imports("consents", CONSENTS) for _ in range(2))
    assert (first.counts, first.refused) == ({"new": 3, "known": 0}, 2)
    assert again.counts == {"new": 0, "known": 3}
    c, s = t.consent.c, t.standing.c
    assert shop.rows(c.state, c.evidence, order_by=c.id) == [
        ("yes", "form 7"), ("no", "in.csv, row 3"), ("confirmed", "in.csv, row 4"),
    ]  # fmt: skip
    assert shop.rows(s.contact_id, s.allow_bits, s.deny_bits, order_by=s.contact_id) == [(1, 0, 1), (2, 2, 0)]
    refused = Path(first.refused_file).read_text()
    assert "contact: 'zoe' is not known, import contacts first" in refused
    assert "topic: 'ofers' is none of its words; did you mean" in refused


def test_suppressed_addresses_close_their_holders(shop: Any) -> None:
    """By address, whoever has it; a number by its country."""
    shop.imports("contacts", "id,email,phone,country\nada,a@x.example,0151 12345678,DE\nbob,a@x.example,,\n")
    result = shop.imports(
        "suppressions", "address,reason\nA@X.example,complaint\n0151/12345678,\nnonsense@,\n", country="DE"
    )
    assert (result.counts, result.refused) == ({"new": 2, "known": 0}, 1)
    s = t.standing.c
    closed = shop.rows(s.contact_id, s.closed_bits.bitwise_and(0b11_0000_0000), order_by=s.contact_id)
    assert closed == [(1, 0b11_0000_0000), (2, 0b01_0000_0000)]


def test_data_yaml_is_guessed_with_reasons(sqlite_shop: Any) -> None:
    """Identifiers stay words, zeros in front are kept, few words become one_of."""
    path = sqlite_shop.folder / "orders.csv"
    rows = "".join(
        f"c{n},2026-01-0{n % 9 + 1},{n},{n}.50,0{n},{'web' if n % 2 else 'till'},true\n" for n in range(1, 90)
    )
    path.write_text(f"contact,at,order_id,Total,branch,source,gift\n{rows}")
    assert suggest_from_file(path, "order_completed").splitlines()[1:] == [
        "contact: {}",
        "events:",
        "  order_completed:",
        "    order_id: word      # digits, but by its name nothing to calculate with",
        "    total: money      # by its name; number if it is none",
        "    branch: word      # digits with a leading zero: a number would lose it",
        "    source: {one_of: [till, web]}      # or word: other words will be refused",
        "    gift: flag",
    ]
    sqlite_shop.imports("contacts", "id,first_name,open_cases\na,Ann,3\n")
    sqlite_shop.imports("events", "contact,at,total\na,2026-01-01,5\n", event="order_completed")
    assert suggest_from_store(sqlite_shop.store).splitlines()[1:] == [
        "contact:", "  open_cases: number", "events:", "  order_completed:",
        "    total: money      # by its name; number if it is none",
    ]  # fmt: skip


WORKSPACE = """\
name: Shop
timezone: Europe/Berlin
currency: EUR
address: Shop, Berlin
languages: {de: [DE]}
public_url: https://t.shop.example
senders: {email: {connector: sandbox, from: Shop <a@shop.example>}}
topics: {offers: {kind: marketing, name: Offers, consent: {email: explicit}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace on disk, in which commands run."""
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns" / "workspace.yaml").write_text(WORKSPACE)
    (tmp_path / "campaigns" / "data.yaml").write_text("contact: {tier: word}\nevents: {}\n")
    (tmp_path / "people.csv").write_text("id;email;consent_email_offers\nada;ada@x.example;yes\n;x@x.example;\n")
    monkeypatch.chdir(tmp_path)
    for name in ("CARILLON_DATABASE_URL", "CARILLON_WORKSPACE", "CARILLON_ENV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_commands_say_what_they_did(folder: Path) -> None:
    """A dry run writes nothing; an import counts; consent is shown with evidence and withdrawn."""
    from carillon.cli.consent import consent
    from carillon.cli.import_ import import_group

    run = CliRunner().invoke
    dry = run(import_group, ["contacts", "people.csv", "--dry-run"])
    assert (dry.exit_code, (folder / ".carillon" / "carillon.db").exists()) == (0, False)
    assert "1 row refused:\n             1 no id" in dry.output
    done = json.loads(run(import_group, ["contacts", "people.csv", "--json"]).stdout)
    assert (done["rows"], done["counts"]) == (2, {"new": 1, "changed": 0, "as they were": 0, "consents": 1})
    shown = run(consent, ["show", "ada"]).output
    assert "yes       offers by email" in shown
    assert "from import people.csv: people.csv, row 2, consent_email_offers" in shown
    assert "Recorded 1 time no" in run(consent, ["withdraw", "ada", "--evidence", "letter"]).output
    assert [row["state"] for row in json.loads(run(consent, ["show", "ada", "--json"]).output)["said"]] == [
        "yes",
        "no",
    ]
    assert run(consent, ["show", "eve"]).exit_code == 1


def test_what_does_not_fit_ends_the_command_before_it_begins(folder: Path) -> None:
    """Exit code 1 and a sentence, no traceback; a broken workspace is shown at its place."""
    from carillon.cli.import_ import import_group

    run = CliRunner().invoke
    wrong = run(import_group, ["contacts", "people.csv", "--map", "emial=email"])
    assert (wrong.exit_code, "no field 'emial'; did you mean \"email\"?" in wrong.stderr) == (1, True)
    (folder / "campaigns" / "data.yaml").write_text("contact: {tier: wrod}\n")
    broken = run(import_group, ["contacts", "people.csv"])
    assert (broken.exit_code, "campaigns/data.yaml:1:17" in broken.stderr) == (1, True)
