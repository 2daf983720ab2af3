"""Both sides prove who they are: certificates, fingerprints, signatures."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from openadr2b_rigs import PROMPT, WITHIN_S, Heard, running, soon, spec

from ebplan.adapters.events.openadr2b.envelope import BadMessage, Envelope, SigningKey
from ebplan.adapters.events.openadr2b.source import OpenAdr2bSource
from ebplan.errors import InputError
from ebplan.twin.wire.openadr2b_vtn import Openadr2bVtn, Span, VtnTls, event

SHED = [Span(1800.0, -100.0)]


class Files:
    """Certificates of a server, of us, and of a stranger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.strange = trustme.CA(), trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.strange.cert_pem.write_to_path(folder / "strange-ca.pem")
        self.vtn = VtnTls(*self._issue("vtn", self.authority, "localhost"), folder / "ca.pem")
        self.ours = self._issue("ven", self.authority, "site-1")
        self.others = self._issue("stranger", self.strange, "site-1")

    def _issue(self, name: str, authority: trustme.CA, host: str) -> tuple[Path, Path]:
        issued = authority.issue_cert(host, key_type=trustme.KeyType.RSA)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return certificate, key

    def tls(self, pair: tuple[Path, Path], authority: str = "ca.pem") -> dict[str, object]:
        return {
            "certificate": str(pair[0]),
            "key": str(pair[1]),
            "authority": str(self.folder / authority),
        }

    @staticmethod
    def fingerprint(pair: tuple[Path, Path]) -> str:
        return SigningKey.read(str(pair[0]), str(pair[1]), None, at="tls").fingerprint


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


async def opted(vtn: Openadr2bVtn, uid: str) -> str:
    return await asyncio.wait_for(vtn.answered(uid, 0), WITHIN_S)


@pytest.mark.parametrize("sign", [False, True])
async def test_events_come_over_tls_signed_or_not(files: Files, sign: bool) -> None:
    async with Openadr2bVtn(tls=files.vtn, sign=sign) as vtn:
        vtn.fingerprint = files.fingerprint(files.ours)
        pinned = files.fingerprint((files.vtn.certificate, files.vtn.key))
        declared = spec(
            vtn, tls=files.tls(files.ours), sign=sign, vtn_fingerprint=pinned if sign else None
        )
        heard = Heard()
        async with running(OpenAdr2bSource(declared, policy=PROMPT), heard):
            vtn.put(event("e1", SHED, start=soon()))
            assert await opted(vtn, "e1") == "optIn"
            await asyncio.wait_for(vtn.said("oadrPoll", 3), WITHIN_S)
        assert [e.id for e in heard.inbox.events()] == ["e1"]


async def refused(declared: object, heard: Heard, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.WARNING, "ebplan"):
        async with running(OpenAdr2bSource(declared, policy=PROMPT), heard):  # type: ignore[arg-type]
            async with asyncio.timeout(WITHIN_S):
                while not caplog.records:
                    await asyncio.sleep(0.01)
    assert heard.inbox.calls == {}
    return caplog.records[0].message


async def test_a_server_of_another_authority_is_not_spoken_to(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with Openadr2bVtn(tls=files.vtn) as vtn:
        vtn.put(event("e1", SHED, start=soon()))
        declared = spec(vtn, tls=files.tls(files.ours, "strange-ca.pem"))
        assert "certificate" in await refused(declared, Heard(), caplog)
        assert vtn.messages == []


async def test_a_node_of_another_authority_hears_nothing(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with Openadr2bVtn(tls=files.vtn) as vtn:
        vtn.put(event("e1", SHED, start=soon()))
        await refused(spec(vtn, tls=files.tls(files.others)), Heard(), caplog)
        assert vtn.messages == []


async def test_a_node_with_another_fingerprint_hears_nothing(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with Openadr2bVtn(tls=files.vtn) as vtn:
        vtn.fingerprint = files.fingerprint(files.others)
        vtn.put(event("e1", SHED, start=soon()))
        line = await refused(spec(vtn, tls=files.tls(files.ours)), Heard(), caplog)
    assert "463" in line


async def test_a_server_that_signs_with_another_key_is_not_believed(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with Openadr2bVtn(tls=files.vtn, sign=True) as vtn:
        vtn.fingerprint = files.fingerprint(files.ours)
        vtn.put(event("e1", SHED, start=soon()))
        declared = spec(
            vtn, tls=files.tls(files.ours), sign=True,
            vtn_fingerprint=files.fingerprint(files.others),
        )  # fmt: skip
        assert "another certificate" in await refused(declared, Heard(), caplog)


async def test_a_server_that_must_sign_and_does_not_is_not_believed(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with Openadr2bVtn(tls=files.vtn) as vtn:
        vtn.fingerprint = files.fingerprint(files.ours)
        declared = spec(
            vtn, tls=files.tls(files.ours), vtn_fingerprint=files.fingerprint(files.others)
        )
        assert "not signed" in await refused(declared, Heard(), caplog)


def test_only_what_was_signed_is_read(files: Files) -> None:
    key = SigningKey.read(*map(str, files.ours), None, at="tls")
    pinned = key.fingerprint
    raw = Envelope(key).write("oadrPoll", ven_id="site-1")
    assert Envelope(vtn_fingerprint=pinned).open(raw).findtext("{*}venID") == "site-1"
    with pytest.raises(BadMessage, match="signature is wrong"):
        Envelope(vtn_fingerprint=pinned).open(raw.replace(b"site-1", b"site-2"))


def test_an_encrypted_key_needs_its_passphrase(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = serialization.load_pem_private_key(files.ours[1].read_bytes(), None)
    locked = files.folder / "locked.key"
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a pass of its own"),
        )
    )  # fmt: skip
    locked.chmod(0o600)
    pair = (files.ours[0], locked)
    vtn = Openadr2bVtn(tls=files.vtn)
    vtn.port = 1
    monkeypatch.setenv("VEN_KEY_PASSPHRASE", "a pass of its own")
    opened = {**files.tls(pair), "passphrase": {"env": "VEN_KEY_PASSPHRASE"}}
    source = OpenAdr2bSource(spec(vtn, tls=opened, sign=True))
    assert source.fingerprint == files.fingerprint(files.ours)
    with pytest.raises(InputError, match=r"tls\.certificate"):
        OpenAdr2bSource(spec(vtn, tls=files.tls(pair)))


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "http://vtn.example/OpenADR2/Simple/2.0b"},
        {"url": "https://vtn.example/OpenADR2/Simple/2.0b"},
        {"url": "https://user:pw@vtn.example/x", "tls": {}},
        {"sign": True},
        {"other": None},
        {"vtn_fingerprint": "ab:cd"},
        {"currency": "yen"},
    ],
)
def test_what_is_not_safe_or_not_meant_is_refused(changed: dict[str, object]) -> None:
    vtn = Openadr2bVtn()
    vtn.port = 1
    with pytest.raises(InputError):
        spec(vtn, **changed)
