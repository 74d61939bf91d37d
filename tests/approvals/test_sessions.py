"""The page of one's sessions tells them apart, by what each says of itself and we saw of it."""

import pytest

from approvals.browsers import browser_of
from tests.approvals.authenticator import Authenticator
from tests.approvals.conftest import Office, sign_in
from tests.approvals.passkey_scene import arm
from tests.approvals.scene import LENA, TENANT

pytestmark = pytest.mark.req("A4")

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_ANDROID = "Mozilla/5.0 (Linux; Android 10; K)"
_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0"


@pytest.mark.parametrize(
    ("user_agent", "named"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Android 15; Mobile; rv:146.0) Gecko/146.0 Firefox/146.0", "Firefox on Android"),
        (f"{_IPHONE} FxiOS/146.0 Mobile/15E148 Safari/605.1.15", "Firefox on an iPhone"),
        (f"{_IPHONE} Version/26.0 Mobile/15E148 Safari/604.1", "Safari on an iPhone"),
        (f"{_IPHONE} CriOS/142.0.0.0 Mobile/15E148 Safari/604.1", "Chrome on an iPhone"),
        (f"{_MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15", "Safari on a Mac"),
        (f"{_MAC} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome on a Mac"),
        (f"{_WINDOWS} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge on Windows"),
        (f"{_WINDOWS} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36 OPR/126.0.0.0", "Opera on Windows"),
        (
            f"{_ANDROID} {_WEBKIT} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
        ),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        (f"Mozilla/5.0 (X11; Haiku) {_WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome"),
        ("curl/8.14.1", ""),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", ""),
        ("<b>Firefox/1 on Windows</b>", ""),
        ("Mozilla/5.0 (" + "x" * 600 + "Firefox/1", ""),
        ("", ""),
    ],
)
def test_a_browser_is_named_in_our_words(user_agent: str, named: str) -> None:
    assert browser_of(user_agent) == named


async def test_each_session_says_which_browser_how_and_from_where(office: Office) -> None:
    hostile = "Mozilla/5.0 (<script>alert(1)</script>; Windows) Firefox/1 tracker-4711"
    async with office.visitor(**{"user-agent": FIREFOX}) as desk, office.visitor(**{"user-agent": hostile}) as phone:
        await sign_in(desk, LENA)
        await sign_in(phone, LENA)
        async with office.visitor(**{"user-agent": "curl/8"}) as program:
            await sign_in(program, LENA)
        page = (await desk.get("/sessions")).text
        for words in ("Firefox on Linux", "Firefox on Windows", "A browser that does not say which", "127.0.0.1"):
            assert words in page
        assert page.count("with your password<") == 3
        await arm(desk, LENA, Authenticator())
        assert "with your password and a passkey<" in (await desk.get("/sessions")).text
    # What a browser says beyond our words could follow its owner about: it is kept nowhere.
    assert "alert(1)" not in page
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute("select s::text as kept from sessions s")
        assert not [row for row in await cursor.fetchall() if "4711" in row["kept"] or "Mozilla" in row["kept"]]
