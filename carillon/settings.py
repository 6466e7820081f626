"""Settings: the environment, read once; nothing secret ever stands in YAML."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATABASE = ".carillon/carillon.db"
KEY_FILE = "secret.key"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this process works. `root` is the folder that holds the workspace, `.carillon/` and relative paths."""

    root: Path
    workspace: Path
    database_url: str
    env: str | None
    environ: Mapping[str, str]

    @property
    def state_dir(self) -> Path:
        """What Carillon keeps for itself: database, key, Prefect's home, caches."""
        return self.root / ".carillon"

    def get(self, name: str, default: str = "") -> str:
        """A setting of a connector, by its environment name."""
        return self.environ.get(name) or default


def read_settings(environ: Mapping[str, str] | None = None, *, root: Path | None = None) -> Settings:
    """The settings that the environment says, relative to `root` (default: the current folder)."""
    env = os.environ if environ is None else environ
    base = (root or Path.cwd()).resolve()
    return Settings(
        root=base,
        workspace=base / (env.get("CARILLON_WORKSPACE") or "campaigns"),
        database_url=env.get("CARILLON_DATABASE_URL") or f"sqlite:///{base / DEFAULT_DATABASE}",
        env=env.get("CARILLON_ENV") or None,
        environ=env,
    )


def secret_keys(settings: Settings) -> tuple[tuple[bytes, ...], bool]:
    """The keys that seal links, newest first, and whether the first was made here for want of a configured one.

    `CARILLON_SECRET_KEY` may hold two, separated by a comma: the old one still opens links while the new one seals.
    """
    configured = settings.get("CARILLON_SECRET_KEY")
    if configured:
        return tuple(part.strip().encode() for part in configured.split(",") if part.strip()), False
    path = settings.state_dir / KEY_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made whole before it has its name: two processes that start at once agree on one key.
        draft = path.with_name(f"{KEY_FILE}.{os.getpid()}")
        draft.write_text(secrets.token_hex(32))
        draft.chmod(0o600)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return (path.read_text().strip().encode(),), True
