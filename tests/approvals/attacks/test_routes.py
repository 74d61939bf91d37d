"""Every route of the application: forged forms, borrowed cookies, frames, other methods, other hosts, large bodies."""

import pytest

from tests.approvals.attacks.routes import Way, state_of, ways
from tests.approvals.conftest import ORIGIN, Office, csrf_of
from tests.approvals.scene import EVE, FIONA, LENA, Person, add_people, ask
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A1", "A4", "I9")
ALL_ROLES = Person("root", ("support-leads",), roles=("view", "approve", "kill", "undo", "administer"))
FOREIGN = [
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    {"origin": "null", "sec-fetch-site": "same-origin"},
    {"origin": "", "sec-fetch-site": "same-origin"},
    {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    {"origin": ORIGIN, "sec-fetch-site": "none"},
    {"origin": f"{ORIGIN}.evil.example", "sec-fetch-site": "same-origin"},
    {"origin": ORIGIN.replace("http://", "https://"), "sec-fetch-site": "same-origin"},
    {"origin": ORIGIN + "0", "sec-fetch-site": "same-origin"},
]
"""Headers that a browser sends with a form of another site, and some that it never sends with ours."""


def changing(office: Office) -> list[Way]:
    found = [way for way in ways(office) if way.method not in {"GET", "OPTIONS"} and not way.is_api]
    assert len(found) >= 10
    return found


async def test_no_form_of_another_site_reaches_any_route(office: Office, empty_database: DatabaseAddresses) -> None:
    await add_people(office.db, ALL_ROLES)
    await ask(office.db)
    async with office.signed_in(ALL_ROLES) as client:
        csrf = await csrf_of(client)
        before = state_of(empty_database.owner_url)
        for way in changing(office):
            for headers in FOREIGN:
                answer = await client.request(way.method, way.address, data={"csrf": csrf}, headers=headers)
                assert (way, headers, answer.status_code) == (way, headers, 403)
                assert "the form was not sent from this site" in answer.text
    assert state_of(empty_database.owner_url) == before


async def test_no_route_takes_a_form_without_its_sessions_own_token(
    office: Office, empty_database: DatabaseAddresses
) -> None:
    await add_people(office.db, ALL_ROLES)
    async with office.signed_in(ALL_ROLES) as client, office.signed_in(FIONA) as other, office.signed_in(EVE) as far:
        own = await csrf_of(client)
        tokens = ["", "0" * 64, own.upper(), own[:-1], own + "0", await csrf_of(other), await csrf_of(far)]
        before = state_of(empty_database.owner_url)
        for way in changing(office):
            if way.role is None:  # signing in: there is no session yet, the origin alone tells
                continue
            for token in tokens:
                answer = await client.request(way.method, way.address, data={"csrf": token})
                assert (way, token, answer.status_code) == (way, token, 403)
            for place in (f"{way.address}?csrf={own}", way.address):
                answer = await client.request(way.method, place, headers={"x-csrf-token": own})
                assert (way, place, answer.status_code) == (way, place, 403)
    assert state_of(empty_database.owner_url) == before


async def test_nobody_comes_in_without_a_session_and_the_api_takes_no_cookie(office: Office) -> None:
    async with office.visitor() as stranger, office.signed_in(LENA) as client:
        for way in ways(office):
            if way.role is None:
                continue
            answer = await stranger.request(way.method, way.address)
            assert (way, answer.status_code) == (way, 401 if way.is_api else 303)
            assert way.is_api or answer.headers["location"].startswith("/sign-in")
            if way.is_api:
                assert (way, (await client.request(way.method, way.address)).status_code) == (way, 401)


async def test_no_answer_can_be_framed_cached_or_sniffed(office: Office) -> None:
    await add_people(office.db, ALL_ROLES)
    async with office.signed_in(ALL_ROLES) as client:
        addresses = {way.address for way in ways(office) if not way.path.endswith("/live")} | {"/nowhere", "/..%2f"}
        for address in sorted(addresses):
            for method in ("GET", "POST", "TRACE"):
                if (method, address) == ("POST", "/sign-out"):
                    continue
                answer = await client.request(method, address)
                policy = answer.headers["content-security-policy"]
                at = (method, address, answer.status_code)
                assert (*at, "frame-ancestors 'none'" in policy, "unsafe" in policy) == (*at, True, False)
                assert (*at, answer.headers["x-frame-options"]) == (*at, "DENY")
                assert (*at, answer.headers["x-content-type-options"]) == (*at, "nosniff")
                assert (*at, answer.headers["referrer-policy"]) == (*at, "same-origin")
                if answer.status_code != 200 or not address.startswith("/static/"):
                    assert (*at, answer.headers["cache-control"]) == (*at, "no-store")
                assert at[2] < 500


async def test_asking_changes_nothing_and_another_method_is_no_way_in(
    office: Office, empty_database: DatabaseAddresses
) -> None:
    await add_people(office.db, ALL_ROLES)
    await ask(office.db)
    async with office.signed_in(ALL_ROLES) as client:
        csrf = await csrf_of(client)
        before = state_of(empty_database.owner_url)
        pretend = {"x-http-method-override": "POST", "x-method-override": "DELETE", "x-original-url": "/sign-out"}
        for way in ways(office):
            if way.path.endswith("/live") or way.path.startswith("/sign-in/"):
                continue
            for method in ("GET", "HEAD"):
                await client.request(method, way.address, params={"csrf": csrf, "_method": "POST"}, headers=pretend)
            for method in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"):
                if any(other.path == way.path and other.method == method for other in ways(office)):
                    continue
                answer = await client.request(method, way.address, data={"csrf": csrf})
                assert (way, method, answer.status_code) == (way, method, answer.status_code if way.is_api else 405)
                assert (way, method, answer.status_code in {401, 404, 405}) == (way, method, True)
        assert (await client.get("/requests")).status_code == 200
    assert state_of(empty_database.owner_url) == before


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1:8400.evil.example", "127.0.0.1", "", "user@127.0.0.1:8400"]
)
async def test_a_name_that_is_not_ours_gets_no_page_and_stands_in_no_address(office: Office, host: str) -> None:
    async with office.signed_in(LENA) as client:
        for way in ways(office):
            if way.address in {"/healthz", "/readyz"}:
                continue
            answer = await client.request(way.method, way.address, headers={"host": host})
            assert (way, answer.status_code) == (way, 421)
            assert "evil" not in answer.text
        told = {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example", "x-forwarded-proto": "https"}
        for address in ("/requests", "/", "/nowhere"):
            answer = await client.get(address, headers=told)
            assert "evil" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("length", ["65537", "9" * 30, "9" * 5_000, "-1", "+1", "1e3", "0x10", " ", "1,1"])
async def test_no_length_lets_a_large_body_in(office: Office, length: str) -> None:
    async with office.signed_in(LENA) as client:
        for way in changing(office):
            answer = await client.request(way.method, way.address, content=b"x", headers={"content-length": length})
            assert (way, answer.status_code) == (way, 413)


async def test_oversized_and_mangled_forms_are_a_clear_refusal(office: Office) -> None:
    request = await ask(office.db)
    form = "application/x-www-form-urlencoded"
    async with office.signed_in(LENA) as client:
        csrf = await csrf_of(client)
        start = f"csrf={csrf}&digest={request.digest}&verdict=approve"
        bodies = {
            "many fields": (form, start + "&a=b" * 5_000),
            "one field twice": (form, start + "&verdict=deny&digest=x"),
            "no such encoding": (form + "; charset=utf-7", start + "&reason=%ff%fe"),
            "deep": ("application/json", "[" * 20_000),
            "parts": ("multipart/form-data; boundary=x", "--x\r\n" * 5_000),
            "no boundary": ("multipart/form-data", "--x--"),
            "a file": (
                "multipart/form-data; boundary=x",
                f'--x\r\ncontent-disposition: form-data; name="csrf"; filename="a"\r\n\r\n{csrf}\r\n--x--\r\n',
            ),
        }
        for what, (kind, body) in bodies.items():
            answer = await client.post(
                f"/requests/{request.request_id}/decision", content=body.encode(), headers={"content-type": kind}
            )
            assert (what, answer.status_code in {303, 400, 403, 409, 413, 422}) == (what, True)
            assert (what, "Traceback" in answer.text) == (what, False)
        page = (await client.get(f"/requests/{request.request_id}")).text
    assert page.count("vote-approve") <= 1
