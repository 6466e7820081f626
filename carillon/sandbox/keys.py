"""The keys that a sandbox issues: everything a connector needs, so that no account is needed anywhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of one sandbox, derived from one secret."""

    secret: bytes

    def _derived(self, what: str, size: int) -> bytes:
        return hashlib.blake2b(what.encode(), key=self.secret[:64], digest_size=size).digest()

    @property
    def api_key(self) -> str:
        return "SG.sandbox." + base64.urlsafe_b64encode(self._derived("sendgrid", 33)).decode()

    @property
    def account_sid(self) -> str:
        return "AC" + self._derived("account", 16).hex()

    @property
    def auth_token(self) -> str:
        return self._derived("token", 16).hex()

    @property
    def messaging_service(self) -> str:
        return "MG" + self._derived("service", 16).hex()

    @property
    def write_key(self) -> str:
        return self._derived("write", 16).hex()

    @property
    def public_key(self) -> str:
        """What SendGrid shows beside its signed event webhook: base64 of the SubjectPublicKeyInfo."""
        public = self._signing_key().public_key()
        return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()

    def _signing_key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(
            1 + int.from_bytes(self._derived("ecdsa", 48), "big") % (P256_ORDER - 1), ec.SECP256R1()
        )

    def sign_events(self, timestamp: str, raw: bytes) -> str:
        """SendGrid's signature of a post; deterministic, so that the same run posts the same bytes."""
        algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
        return base64.b64encode(self._signing_key().sign(timestamp.encode() + raw, algorithm)).decode()

    def sign_form(self, url: str, form: dict[str, str]) -> str:
        """Twilio's signature of a form posted to this URL (without its fragment)."""
        signed = url.split("#")[0] + "".join(name + form[name] for name in sorted(form))
        return base64.b64encode(hmac.new(self.auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()

    def settings(self, base_url: str) -> dict[str, str]:
        """The settings by which connectors and webhooks find this sandbox, under the names of the real providers'."""
        return {
            "SENDGRID_API_KEY": self.api_key,
            "SENDGRID_BASE_URL": base_url,
            "SENDGRID_WEBHOOK_PUBLIC_KEY": self.public_key,
            "TWILIO_ACCOUNT_SID": self.account_sid,
            "TWILIO_AUTH_TOKEN": self.auth_token,
            "TWILIO_BASE_URL": base_url,
            "TWILIO_MESSAGING_SERVICE": self.messaging_service,
            "CARILLON_WRITE_KEY": self.write_key,
        }


def keys_of(folder: Path) -> Keys:
    """The keys of the sandbox that lives in this folder; made once, at the first call."""
    path = folder / "secret"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_hex(32).encode())
    return Keys(path.read_bytes())
