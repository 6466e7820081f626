"""A workspace to begin with, and what an editor knows about it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner, Result

from carillon.cli.main import main
from carillon.definition.load import load_workspace
from carillon.definition.schema import FILES, schemas
from tests.definition.conftest import Shop


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_makes_a_workspace_that_checks(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """campaigns/, contacts with consents and the editor's settings; then `check` is clean."""
    assert run("init", "shop").exit_code == 0
    shop = here / "shop"
    assert (shop / "contacts.csv").read_text().startswith("id,email,phone,")
    assert "consent_email_offers" in (shop / "contacts.csv").read_text()
    settings = json.loads((shop / ".vscode" / "settings.json").read_text())
    for schema in settings["yaml.schemas"]:
        assert (shop / schema).is_file()
    monkeypatch.chdir(shop)
    assert (run("check").output, run("check").exit_code) == ("12 campaigns: all good.\n", 0)


def test_init_overwrites_nothing(here: Path) -> None:
    """A folder with campaigns stays as it is, exit code 1."""
    (here / "shop" / "campaigns").mkdir(parents=True)
    result = run("init", "shop")
    assert result.exit_code == 1
    assert "there already; nothing was written" in result.output
    assert list((here / "shop").iterdir()) == [here / "shop" / "campaigns"]


def test_new_makes_a_draft_or_a_copy(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both check clean; a draft is never applied; nothing is overwritten and a misspelt source is named."""
    run("init", "shop")
    monkeypatch.chdir(here / "shop")
    assert run("new", "autumn").exit_code == 0
    assert run("new", "summer", "--from", "spring_sale").exit_code == 0
    assert run("check").output == "14 campaigns: all good.\n"
    assert load_workspace(Path("campaigns")).campaigns["autumn"].state == "draft"
    again, unknown, name = run("new", "autumn"), run("new", "x", "--from", "sprin_sale"), run("new", "Autumn-Sale")
    assert [again.exit_code, unknown.exit_code, name.exit_code] == [1, 1, 1]
    assert 'did you mean "spring_sale"?' in unknown.output


def test_schemas_accept_the_starter_and_its_names_only(here: Path) -> None:
    """Every shipped file fits to its schema; a segment, topic or message that does not exist does not."""
    run("init", "shop")
    root = here / "shop" / "campaigns"
    for name, (_, globs) in FILES.items():
        schema = jsonschema_rs.validator_for(json.loads((root / ".schemas" / name).read_text()))
        files = [path for glob in globs for path in root.glob(glob)]
        assert files
        for path in files:
            assert list(schema.iter_errors(_as_text(path))) == [], path
    campaign = jsonschema_rs.validator_for(json.loads((root / ".schemas" / "campaign.json").read_text()))
    right = _as_text(root / "spring_sale" / "campaign.yaml")
    assert campaign.is_valid(right)
    assert not campaign.is_valid({**right, "topic": "ofers"})
    assert not campaign.is_valid({**right, "audience": {"segment": "nobody"}})
    assert not campaign.is_valid({**right, "journey": [{"email": "sael"}]})
    assert not campaign.is_valid({**right, "titel": "x"})


def _as_text(path: Path) -> dict[str, object]:
    loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert isinstance(loaded, dict)
    return loaded


def test_schemas_complete_this_workspaces_fields(shop: Shop) -> None:
    """Contact fields and properties of events stand in the schema, so an editor offers them."""
    found = schemas(shop.load())["campaign.json"]["$defs"]
    assert "tier" in found["ContactWords"]["properties"]["contact"]["properties"]
    assert "cart_id" in found["EventWords"]["properties"]["where"]["properties"]
    told = ["contact.created", "contact.signed_up", "contact.subscribed", "contact.unsubscribed"]
    events = ["cart_updated", *told, "order_completed"]
    assert sorted(found["EventWords"]["properties"]["event"]["enum"]) == events
    assert found["value"]["properties"]["value"] == {"enum": ["sale_ends"]}


def test_schemas_say_what_each_key_means(shop: Shop) -> None:
    """The editor shows a sentence beside the key under the cursor."""
    found = schemas(shop.load())["campaign.json"]
    assert found["properties"]["ends"]["description"] == "Nobody enters and nothing is sent after."
    assert found["$defs"]["EventWords"]["properties"]["event"]["description"] == "An event that the contact did."
