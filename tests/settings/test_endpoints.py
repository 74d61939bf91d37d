"""Endpoints, tenants and their secrets: what is accepted, and how a mistake is told."""

import base64
import json
from pathlib import Path

import pytest

from settings import SettingsError, get_settings
from settings.endpoint_secrets import read_endpoint_secrets
from settings.endpoints import Endpoint, load_endpoints
from settings.tenants import TenantsFile, load_tenants

TENANTS = TenantsFile.model_validate({"tenants": {"acme": {"name": "Acme", "agents": {"support_refund": {}}}}})
GOOD = """\
endpoints:
  tickets:
    tenant: acme
    sources: [/helpdesk]
    routes:
      - when: {type: ticket.created}
        agent: support_refund
"""


def secret(length: int = 32) -> str:
    return "whsec_" + base64.b64encode(bytes(range(length))).decode()


def loaded(folder: Path, text: str) -> dict[str, Endpoint]:
    file = folder / "endpoints.yaml"
    file.write_text(text)
    return load_endpoints(file, TENANTS)


def test_shipped_files_are_valid() -> None:
    settings = get_settings()
    tenants = load_tenants(settings.tenants_file)
    assert "support-tickets" in load_endpoints(settings.endpoints_file, tenants)


@pytest.mark.req("E3")
@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("tenant: acme", "tenant: nobody", 3, "`nobody` is no tenant. Tenants: acme."),
        ("agent: support_refund", "agent: other", 7, "has no agent `other`. Its agents: support_refund."),
        ("tenant: acme", "tenant: Acme Inc", 3, "endpoints.tickets.tenant"),
        ("tenant: acme", "tenant: acme\n    tool: x", 4, "endpoints.tickets.tool: Extra inputs"),
        ("tenant: acme", "tenant: acme\n    tenant: globex", 4, "tenant: stands here for the second time"),
        ("sources: [/helpdesk]", "sources: [/help#desk]", 4, "endpoints.tickets.sources.0"),
        ("sources: [/helpdesk]", "sources: []", 4, "endpoints.tickets.sources"),
        ("{type: ticket.created}", "{source: /helpdesk}", 6, "`when` must name the event's `type`"),
        ("{type: ticket.created}", "{type: a, data.kind: b}", 2, "`data.kind` is neither type, source nor"),
        ("sources: [/helpdesk]", "sources: [/a, /b]\n    binary: true", 2, "needs exactly one source and one type"),
        ("tenant: acme", "tenant: acme\n    on_behalf_of: user", 2, "`user` is not listed under `trusted`"),
        ("tenant: acme", "tenant: acme\n    max_body_bytes: 99999999", 4, "endpoints.tickets.max_body_bytes"),
        ("tenant: acme", "tenant: acme\n    secrets: [whsec_inline]", 4, "endpoints.tickets.secrets.0"),
        ("endpoints:", "endpoints: [", 0, "is not YAML"),
        (GOOD, "", 0, "is empty"),
        (GOOD, "endpoints: !!python/object/apply:os.system [x]", 0, "could not determine a constructor"),
    ],
)
def test_mistakes_name_file_line_and_field(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert loaded(tmp_path, GOOD)
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert said in message
    assert str(tmp_path / "endpoints.yaml") in message
    assert not line or f"endpoints.yaml:{line}: " in message
    assert "\n" not in message


def endpoint(*secrets: str) -> dict[str, Endpoint]:
    route = {"when": {"type": "t"}, "agent": "a"}
    return {
        "one": Endpoint.model_validate({"tenant": "acme", "sources": ["/s"], "routes": [route], "secrets": secrets})
    }


def test_secrets_come_from_the_file_of_the_installation(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"one": [secret(32), secret(24)]}))
    assert read_endpoint_secrets(endpoint(), file, tmp_path).of("one") == (secret(32), secret(24))


def test_secrets_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hook.secret").write_text(secret(32) + "\n")
    monkeypatch.setenv("HOOK_SECRET", secret(40))
    found = read_endpoint_secrets(endpoint("file:hook.secret", "env:HOOK_SECRET"), tmp_path / "absent", tmp_path)
    assert found.of("one") == (secret(32), secret(40))
    assert secret(32) not in repr(found)


@pytest.mark.parametrize(
    ("reference", "content", "said"),
    [
        ("file:absent", None, "cannot be read"),
        ("env:HOOK_SECRET", None, "HOOK_SECRET is not set"),
        ("file:hook", "", "hook is empty"),
        ("file:hook", "é", "is not `whsec_`"),
        ("file:hook", "\n".join(secret(30) for _ in range(6)), "6 signing secrets found"),
        ("file:hook", secret(23), "at least 24 bytes"),
        ("file:hook", secret(32).removeprefix("whsec_"), "at least 24 bytes"),
        ("file:hook", "whsec_%%%", "at least 24 bytes"),
    ],
)
def test_missing_and_weak_secrets_are_refused_without_showing_them(
    tmp_path: Path, reference: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "hook").write_text(content)
    with pytest.raises(SettingsError, match=said) as caught:
        read_endpoint_secrets(endpoint(reference), tmp_path / "absent", tmp_path)
    assert not content or content not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"one": "whsec_x"}', '{"one": [1]}', "{}"])
def test_broken_secrets_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match=r"secrets\.json"):
        read_endpoint_secrets(endpoint(), file, tmp_path)
