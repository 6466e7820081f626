"""Whether a request left decides between deferred and unsure: each failure once, over a real socket."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import struct
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from misbehaving import server

from carillon.delivery.protocol import Accepted, Deferred, Divide, Held, Rejected, Unsure
from connectors.transport import MEANING_OF_ERROR, MEANING_OF_STATUS, Answer, Endpoint, Meaning, meaning, outcome

SHORT = httpx.Timeout(0.3, connect=1.0, pool=0.3)


class Heard:
    """What a server read, and how often it was asked."""

    def __init__(self) -> None:
        self.requests = 0

    async def read(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        self.requests += 1


async def failure_of(url: str) -> Exception:
    one = Endpoint(f"{url}/send", connections=1, headers={}, timeout=SHORT)
    with pytest.raises(httpx.TransportError) as raised:
        await one.post(b"a message")
    await one.close()
    return raised.value


def run(what: object) -> object:
    return asyncio.run(what)  # type: ignore[arg-type]


def test_a_refused_connection_is_a_connect_error_and_nothing_left() -> None:
    """Nobody listens at a port that was just given back."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    error = run(failure_of(f"http://127.0.0.1:{port}"))
    assert type(error) is httpx.ConnectError
    assert meaning(error) is Meaning.NOT_SENT


def test_a_name_that_resolves_to_nothing_is_a_connect_error_and_nothing_left() -> None:
    """`.invalid` never resolves (RFC 2606)."""
    error = run(failure_of("http://sendgrid.invalid"))
    assert type(error) is httpx.ConnectError
    assert meaning(error) is Meaning.NOT_SENT


def test_a_server_that_reads_and_closes_leaves_us_unsure() -> None:
    """It had the whole message and may have sent it; it was asked once."""
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard.read(reader)

    async def go() -> Exception:
        async with server(script) as port:
            return await failure_of(f"http://127.0.0.1:{port}")

    error = run(go())
    assert type(error) is httpx.RemoteProtocolError
    assert meaning(error) is Meaning.UNKNOWN
    assert heard.requests == 1


def test_a_server_that_does_not_answer_in_time_leaves_us_unsure() -> None:
    """The read timeout says nothing about the message, and does not repeat it."""
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard.read(reader)
        await asyncio.sleep(1)

    async def go() -> Exception:
        async with server(script) as port:
            return await failure_of(f"http://127.0.0.1:{port}")

    error = run(go())
    assert type(error) is httpx.ReadTimeout
    assert meaning(error) is Meaning.UNKNOWN
    assert heard.requests == 1


@pytest.mark.parametrize("answered", [b"", b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nhal"])
def test_a_reset_before_or_within_the_answer_leaves_us_unsure(answered: bytes) -> None:
    """A reset is what a dying load balancer sends; half an answer is none."""
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard.read(reader)
        writer.write(answered)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def go() -> Exception:
        async with server(script) as port:
            return await failure_of(f"http://127.0.0.1:{port}")

    error = run(go())
    assert isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)
    assert meaning(error) is Meaning.UNKNOWN
    assert heard.requests == 1


def test_an_answer_that_is_no_http_leaves_us_unsure() -> None:
    """Whatever said this had read the message."""
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard.read(reader)
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    async def go() -> Exception:
        async with server(script) as port:
            return await failure_of(f"http://127.0.0.1:{port}")

    error = run(go())
    assert type(error) is httpx.RemoteProtocolError
    assert meaning(error) is Meaning.UNKNOWN


def test_a_certificate_of_nobody_is_a_connect_error_and_nothing_left(tmp_path: Path) -> None:
    """The handshake ends before the first byte of the message."""
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard.read(reader)

    async def go() -> Exception:
        async with server(script, self_signed(tmp_path)) as port:
            return await failure_of(f"https://127.0.0.1:{port}")

    error = run(go())
    assert type(error) is httpx.ConnectError
    assert meaning(error) is Meaning.NOT_SENT
    assert heard.requests == 0


def test_a_server_that_speaks_no_tls_is_a_connect_error_and_nothing_left() -> None:
    """Plain HTTP behind an https address."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def go() -> Exception:
        async with server(script) as port:
            return await failure_of(f"https://127.0.0.1:{port}")

    error = run(go())
    assert type(error) is httpx.ConnectError
    assert meaning(error) is Meaning.NOT_SENT


def test_waiting_for_a_connection_of_the_pool_is_a_pool_timeout_and_nothing_left() -> None:
    """The one connection is busy: the second message never got one."""
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard.read(reader)
        await asyncio.sleep(0.6)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    async def go() -> tuple[object, object]:
        slow = httpx.Timeout(2.0, pool=0.2)
        async with server(script) as port:
            one = Endpoint(f"http://127.0.0.1:{port}/send", connections=1, headers={}, timeout=slow)
            both = [one.post(b"a message") for _ in range(2)]
            found = await asyncio.gather(*both, return_exceptions=True)
            await one.close()
            return tuple(found)  # type: ignore[return-value]

    answered, waited = run(go())  # type: ignore[misc]
    assert answered.status_code == 202
    assert type(waited) is httpx.PoolTimeout
    assert meaning(waited) is Meaning.NOT_SENT
    assert heard.requests == 1


def test_an_answer_comes_through_with_its_status_headers_and_body() -> None:
    """A redirect is an answer as well: it is never followed."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Heard().read(reader)
        writer.write(b"HTTP/1.1 307 Elsewhere\r\nLocation: /there\r\nX-Message-Id: m1\r\nContent-Length: 2\r\n\r\nok")

    async def go() -> Answer:
        async with server(script) as port:
            one = Endpoint(f"http://127.0.0.1:{port}/send", connections=1, headers={})
            answered = await one.post(b"a message")
            await one.close()
            return answered

    answer = run(go())
    assert isinstance(answer, Answer)
    assert (answer.status_code, answer.headers["x-message-id"], answer.content) == (307, "m1", b"ok")


def test_every_transport_error_of_httpx_has_its_meaning() -> None:
    """A class that httpx adds later is unsure until somebody decides."""

    def leaves(kind: type) -> list[type]:
        below = kind.__subclasses__()
        return [leaf for each in below for leaf in leaves(each)] if below else [kind]

    assert set(leaves(httpx.TransportError)) <= set(MEANING_OF_ERROR)
    assert meaning(RuntimeError("what is this")) is Meaning.UNKNOWN


@pytest.mark.parametrize(
    ("status", "alone", "of_many"),
    [
        (200, Accepted("r"), Accepted("r")),
        (202, Accepted("r"), Accepted("r")),
        (307, Held("said"), Held("said")),
        (400, Rejected("said", "c"), Divide("said")),
        (401, Held("said"), Held("said")),
        (403, Held("said"), Held("said")),
        (404, Held("said"), Held("said")),
        (405, Held("said"), Held("said")),
        (408, Unsure("said"), Unsure("said")),
        (413, Rejected("said", "c"), Divide("said")),
        (415, Held("said"), Held("said")),
        (422, Rejected("said", "c"), Divide("said")),
        (429, Deferred("said", 7.0), Deferred("said", 7.0)),
        (500, Unsure("said"), Unsure("said")),
        (503, Unsure("said"), Unsure("said")),
        (599, Unsure("said"), Unsure("said")),
    ],
)
def test_a_status_becomes_an_outcome(status: int, alone: object, of_many: object) -> None:
    """One table, read for one person and for many."""
    answers = [outcome(status, people=n, reason="said", ref="r", code="c", wait_s=7.0) for n in (1, 2)]
    assert answers == [alone, of_many]


def test_no_server_error_is_ever_repeated() -> None:
    """5xx is missing from the table on purpose: what is not named is unknown."""
    assert [status for status in MEANING_OF_STATUS if status >= 500] == []


@pytest.mark.parametrize("address", ["", "api.sendgrid.com", "ftp://api.sendgrid.com", "https://"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    """Not at the first message of a campaign."""
    with pytest.raises(ValueError, match="not an http"):
        Endpoint(address, connections=1, headers={})


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, SHA256())
    )
    path = folder / "nobody.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_an_endpoint_posts_with_its_login_and_tells_failures_apart() -> None:
    """The same session below: what arrives is a POST with basic auth; a port that nobody listens at is a connect error."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(9))
        writer.write(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}")

    async def go() -> None:
        async with server(answer) as port:
            one = Endpoint(
                f"http://127.0.0.1:{port}/a", connections=1, auth=("me", "pw"), headers={"X-Own": "1"}, timeout=SHORT
            )
            said = await one.post(b"a message")
        assert (said.status_code, said.reason_phrase, said.headers["retry-after"], said.content) == (
            429,
            "Slow",
            "7",
            b"{}",
        )
        assert said.is_client_error
        with pytest.raises(httpx.TransportError) as lost:
            await one.post(b"a message")
        assert meaning(lost.value) in (Meaning.NOT_SENT, Meaning.UNKNOWN)
        await one.close()

    run(go())
    head = heard[0].lower()
    assert head.startswith(b"post /a http/1.1\r\n")
    assert b"authorization: basic bwu6chc=\r\n" in head
    assert b"x-own: 1\r\n" in head
