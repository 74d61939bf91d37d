"""A missing peer is a loud skip on a laptop and a failure where peers are required."""

import subprocess

import pytest

from tests.peers import browser
from tests.peers.need import need_browser, need_package

NODE_TIMEOUT_S = 30


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_BROWSER", "/nowhere/chromium")


@pytest.mark.usefixtures("no_browser")
def test_missing_peers_fail_where_they_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception, match="make browser"):
        need_browser()
    with pytest.raises(pytest.fail.Exception, match="make node"):
        need_package("no-such-package")


@pytest.mark.usefixtures("no_browser")
def test_missing_peers_skip_elsewhere_and_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUNTERSIGN_REQUIRE_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make browser"):
        need_browser()
    with pytest.raises(pytest.skip.Exception, match="make node"):
        need_package("no-such-package")


@pytest.mark.parametrize(("required", "code"), [("1", 1), ("", 0)])
def test_make_browser_is_loud_when_none_can_be_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], required: str, code: int
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("COUNTERSIGN_BROWSER", raising=False)
    monkeypatch.setattr(browser, "PLACES", ())
    monkeypatch.setenv("COUNTERSIGN_REQUIRE_PEERS", required)
    assert browser.main() == code
    assert "no Chromium found" in capsys.readouterr().err


@pytest.mark.node
@pytest.mark.parametrize("name", ["@copilotkit/aimock", "oidc-provider", "axe-core"])
def test_locked_node_loads_each_peer(name: str) -> None:
    node, package = need_package(name)
    load = f"import({name!r}).then(m => console.log(Object.keys(m).length > 0))"
    done = subprocess.run(
        [node, "--input-type=module", "-e", load],
        cwd=package.parents[name.count("/") + 1],
        check=False,
        capture_output=True,
        text=True,
        timeout=NODE_TIMEOUT_S,
    )
    assert done.stdout.strip() == "true", done.stderr


@pytest.mark.browser
def test_found_browser_starts() -> None:
    done = subprocess.run(
        [need_browser(), "--version"], check=False, capture_output=True, text=True, timeout=NODE_TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    assert "Chrom" in done.stdout
