"""Programs that are no browsers are let in by a person, in their browser, by a code (RFC 8628)."""

import html
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from approvals.device import Asked, code_in
from approvals.problems import PROBLEM_TYPE
from approvals.wire import GRANT_TYPE
from store.accounts import disable_account, set_roles
from tests.approvals.conftest import Office, csrf_of, office_at, sign_in
from tests.approvals.scene import EVE, FRED, LENA, TWO_FINANCE, VERA, Person, ask
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("I9")
NAME = "countersign at lena-laptop"


async def begin(client: httpx.AsyncClient, **more: str) -> dict[str, Any]:
    """What a program is told that asks to be let in."""
    answer = await client.post("/api/device/code", data={"client_id": NAME, "tenant": "acme", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def poll(office: Office, client: httpx.AsyncClient, asked: dict[str, Any]) -> httpx.Response:
    """Ask for the token, after as long as it takes to be allowed to."""
    async with office.db.tenant("acme") as cursor:
        await cursor.execute("update device_sign_ins set polled_at = null")
    return await poll_at_once(client, asked)


async def poll_at_once(client: httpx.AsyncClient, asked: dict[str, Any]) -> httpx.Response:
    form = {"grant_type": GRANT_TYPE, "device_code": asked["device_code"], "client_id": NAME}
    return await client.post("/api/device/token", data=form)


async def answer(client: httpx.AsyncClient, asked: dict[str, Any], says: str = "allow") -> httpx.Response:
    """What a person does who looks at the code and answers."""
    form = {"csrf": await csrf_of(client), "code": asked["user_code"]}
    shown = await client.post("/device", data=form)
    assert shown.status_code == 200, shown.text
    return await client.post("/device/answer", data={**form, "answer": says})


@asynccontextmanager
async def let_in(office: Office, who: Person = LENA, **more: str) -> AsyncGenerator[tuple[httpx.AsyncClient, str]]:
    """A person's browser, and the token of a program that they let in."""
    async with office.visitor() as program, office.signed_in(who) as browser:
        asked = await begin(program, **more)
        assert (await answer(browser, asked)).status_code == 200
        token = (await poll(office, program, asked)).json()["access_token"]
        yield browser, token


async def me(office: Office, token: str) -> httpx.Response:
    async with office.visitor() as program:
        return await program.get("/api/me", headers={"authorization": f"Bearer {token}"})


def why(refused: httpx.Response) -> str:
    assert (refused.status_code, refused.headers["content-type"]) == (400, PROBLEM_TYPE)
    return refused.json()["error"]


async def rows(office: Office, query: str) -> list[dict[str, Any]]:
    async with office.db.tenant("acme") as cursor:
        await cursor.execute(query.encode())
        return [dict(row) for row in await cursor.fetchall()]


async def test_a_program_gets_the_session_of_the_person_who_lets_it_in(office: Office) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser:
        asked = await begin(program, scope="view approve kill")
        assert asked["verification_uri_complete"].endswith(f"/device?code={asked['user_code']}")
        assert why(await poll(office, program, asked)) == "authorization_pending"
        form = {"csrf": await csrf_of(browser), "code": asked["user_code"].lower().replace("-", " ")}
        page = html.unescape((await browser.post("/device", data=form)).text)
        for text in (NAME, "Nobody has verified it", "127.0.0.1", "decide requests in your name", "Lena"):
            assert text in page
        assert "stop agents" not in page, "her account could not"
        assert "let it in" in page
        done = await browser.post("/device/answer", data={**form, "answer": "allow"})
        assert "Go back to it" in done.text
        given = (await poll(office, program, asked)).json()
        assert (given["token_type"], given["scope"], given["username"]) == ("Bearer", "view approve", "lena")
        found = (await me(office, given["access_token"])).json()
        browsers = await rows(office, "select * from sessions where front_end = ''")
        assert (found["name"], found["roles"], found["groups"]) == ("lena", ["view", "approve"], ["support-leads"])
        assert found["authenticated_at"] == browsers[0]["authenticated_at"].isoformat().replace("+00:00", "Z")
        assert found["expires_at"] == browsers[0]["expires_at"].isoformat().replace("+00:00", "Z")
        listed = (await browser.get("/sessions")).text
        assert NAME in listed
        assert "This browser" in listed
    assert await rows(office, "select verb, username, person, front_end, address, scopes from session_changes") == [
        {
            "verb": "allow", "username": "lena", "person": "lena", "front_end": NAME, "address": "127.0.0.1",
            "scopes": ["view", "approve", "kill"],
        }
    ]  # fmt: skip
    kept = await rows(office, "select * from device_sign_ins")
    assert asked["user_code"].replace("-", "") not in str(kept)
    assert asked["device_code"] not in str(kept)


async def test_it_may_what_it_asked_for_and_what_the_person_may(office: Office) -> None:
    request = await ask(office.db)
    decide = f"/api/approvals/{request.request_id}/decision"
    body = {"verdict": "approve", "digest": request.digest}
    async with office.visitor() as program:
        async with let_in(office, scope="view") as (_, token):
            headers = {"authorization": f"Bearer {token}"}
            assert (await program.get("/api/approvals", headers=headers)).status_code == 200
            assert (await program.post(decide, json=body, headers=headers)).status_code == 403
        async with let_in(office, VERA) as (_, token):
            headers = {"authorization": f"Bearer {token}"}
            assert (await program.post(decide, json=body, headers=headers)).status_code == 403
        async with let_in(office) as (_, token):
            headers = {"authorization": f"Bearer {token}"}
            assert (await program.post(decide, json=body, headers=headers)).json()["outcome"] == "decided"
            async with office.db.tenant("acme") as cursor:
                await cursor.execute("update accounts set roles = array['view'] where username = 'lena'")
            assert (await me(office, token)).json()["roles"] == ["view"]


async def test_tier_4_demands_as_fresh_a_sign_in_as_in_the_browser(office: Office) -> None:
    request = await ask(office.db, requirement=TWO_FINANCE, tier=4)
    async with office.visitor() as program, office.signed_in(FRED) as browser:
        async with office.db.tenant("acme") as cursor:
            await cursor.execute("update sessions set authenticated_at = now() - interval '16 minutes'")
        asked = await begin(program)
        form = {"csrf": await csrf_of(browser), "code": asked["user_code"]}
        page = (await browser.post("/device", data=form)).text
        assert "You signed in 16 min ago" in page
        assert f"next=%2Fdevice%3Fcode%3D{asked['user_code']}" in page
        await browser.post("/device/answer", data={**form, "answer": "allow"})
        token = (await poll(office, program, asked)).json()["access_token"]
        body = {"verdict": "approve", "digest": request.digest, "reason": "the bank called back"}
        refused = await program.post(
            f"/api/approvals/{request.request_id}/decision", json=body, headers={"authorization": f"Bearer {token}"}
        )
        assert (refused.json()["outcome"], refused.json()["refusal"]) == ("refused", "stale_sign_in")
        assert refused.json()["message"].endswith(f"/requests/{request.request_id}"), "where to sign in anew and decide"


async def test_a_second_factor_is_carried_over_and_never_made_up(office: Office) -> None:
    for shown in (False, True):
        async with office.visitor() as program, office.signed_in(LENA) as browser:
            async with office.db.tenant("acme") as cursor:
                await cursor.execute("update sessions set multi_factor = %s", (shown,))
            asked = await begin(program)
            await answer(browser, asked)
            assert (await poll(office, program, asked)).status_code == 200
        newest = "select multi_factor from sessions where front_end <> '' order by started_at desc limit 1"
        assert await rows(office, newest) == [{"multi_factor": shown}]


async def test_a_link_with_the_code_does_nothing_by_itself(office: Office) -> None:
    async with office.visitor() as program, office.visitor() as browser:
        asked = await begin(program)
        link = asked["verification_uri_complete"].removeprefix("http://127.0.0.1:8400")
        led = (await browser.get(link)).headers["location"]
        assert led == f"/sign-in?next=%2Fdevice%3Fcode%3D{asked['user_code']}"
        back = await sign_in(browser, LENA, next=f"/device?code={asked['user_code']}")
        assert back.headers["location"] == f"/device?code={asked['user_code']}"
        page = (await browser.get(link)).text
        assert f'value="{asked["user_code"]}"' in page
        assert NAME not in page, "it is not even looked up"
        assert "Did somebody send you here?" in page
        assert why(await poll(office, program, asked)) == "authorization_pending"


async def test_who_asks_from_elsewhere_is_shown_so_and_no_stands_first(
    office: Office, empty_database: DatabaseAddresses
) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser:
        asked = await begin(program, client_id="Support <b>desk</b>\u202e")
        with psycopg.connect(empty_database.owner_url, autocommit=True) as owner:
            owner.execute("update device_sign_ins set address = '203.0.113.9'")
        page = (await browser.post("/device", data={"csrf": await csrf_of(browser), "code": asked["user_code"]})).text
        assert "It asks from another place than you" in page
        assert "203.0.113.9" in page
        assert "<b>desk" not in page
        assert "\u202e" not in page
        assert page.index('value="deny"') < page.index('value="allow"'), "what Enter does"


async def test_denied_is_denied_for_good(office: Office) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser:
        asked = await begin(program)
        assert "stays out" in (await answer(browser, asked, "deny")).text
        assert why(await poll(office, program, asked)) == "access_denied"
        again = {"csrf": await csrf_of(browser), "code": asked["user_code"], "answer": "allow"}
        assert (await browser.post("/device/answer", data=again)).status_code == 404
        assert why(await poll(office, program, asked)) == "access_denied"
    assert [row["verb"] for row in await rows(office, "select verb from session_changes")] == ["deny"]


async def test_anything_but_the_word_is_no(office: Office) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser:
        asked = await begin(program)
        await answer(browser, asked, "ALLOW")
        assert why(await poll(office, program, asked)) == "access_denied"


async def test_a_code_is_worth_nothing_after_its_time(office: Office, empty_database: DatabaseAddresses) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser:
        late, allowed = await begin(program), await begin(program)
        await answer(browser, allowed)
        with psycopg.connect(empty_database.owner_url, autocommit=True) as owner:
            owner.execute("update device_sign_ins set expires_at = now() - interval '1 second'")
        form = {"csrf": await csrf_of(browser), "code": late["user_code"]}
        assert (await browser.post("/device", data=form)).status_code == 404
        assert (await browser.post("/device/answer", data={**form, "answer": "allow"})).status_code == 404
        assert why(await poll(office, program, late)) == "expired_token"
        assert why(await poll(office, program, allowed)) == "expired_token"


async def test_a_token_is_taken_once(office: Office) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser:
        asked = await begin(program)
        await answer(browser, asked)
        assert (await poll(office, program, asked)).status_code == 200
        assert why(await poll(office, program, asked)) == "invalid_grant"
        form = {"csrf": await csrf_of(browser), "code": asked["user_code"]}
        assert (await browser.post("/device", data=form)).status_code == 404
    assert len(await rows(office, "select * from sessions where front_end <> ''")) == 1


async def test_who_polls_too_fast_is_slowed_down(office: Office) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser:
        asked = await begin(program)
        assert why(await poll_at_once(program, asked)) == "authorization_pending"
        assert why(await poll_at_once(program, asked)) == "slow_down"
        await answer(browser, asked)
        assert why(await poll_at_once(program, asked)) == "slow_down", "allowed, and still too fast"
        assert await rows(office, "select interval_s, state from device_sign_ins") == [
            {"interval_s": 12, "state": "allowed"}
        ]
        assert (await poll(office, program, asked)).status_code == 200


async def test_codes_cannot_be_guessed(office: Office) -> None:
    codes = {Asked("acme").user_code for _ in range(1_000)}
    assert len(codes) == 1_000
    assert all(re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", code) for code in codes)
    async with (
        office_at(office.settings) as second, office.visitor() as program, office.signed_in(LENA) as browser,
        second.visitor() as elsewhere,
    ):  # fmt: skip
        elsewhere.cookies = browser.cookies
        asked = await begin(program)
        csrf = await csrf_of(browser)
        tried = [
            (await client.post("/device/answer", data={"csrf": csrf, "code": code, "answer": "allow"})).status_code
            for client, code in zip((browser, elsewhere) * 8, codes, strict=False)
        ]
        assert tried == [404] * 15 + [429], "however many processes of the form there are"
        right = {"csrf": csrf, "code": asked["user_code"], "answer": "allow"}
        for client in (browser, elsewhere):
            assert (await client.post("/device", data=right)).status_code == 429, "even the right one"
            assert (await client.post("/device/answer", data=right)).status_code == 429
        assert why(await poll(office, program, asked)) == "authorization_pending"
        async with office.db.tenant("acme") as cursor:
            await cursor.execute("update accounts set code_tries_since = code_tries_since - interval '5 minutes'")
        assert (await browser.post("/device/answer", data=right)).status_code == 200


async def test_a_program_that_asks_without_end_is_stopped(office: Office) -> None:
    async with office.visitor() as program:
        form = {"client_id": NAME, "tenant": "acme"}
        tried = [(await program.post("/api/device/code", data=form)).status_code for _ in range(101)]
    assert (tried[0], tried[-1]) == (200, 429)


async def test_a_code_of_one_organisation_is_none_of_another(office: Office) -> None:
    async with office.visitor() as program, office.signed_in(EVE) as browser:
        asked = await begin(program)
        form = {"csrf": await csrf_of(browser), "code": asked["user_code"]}
        assert (await browser.post("/device", data=form)).status_code == 404
        assert (await browser.post("/device/answer", data={**form, "answer": "allow"})).status_code == 404
        moved = {**asked, "device_code": asked["device_code"].replace("csd_acme", "csd_other")}
        assert why(await poll_at_once(program, moved)) == "invalid_grant"
        assert why(await poll(office, program, asked)) == "authorization_pending"


async def test_only_the_persons_own_form_answers(office: Office) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser, office.signed_in(VERA) as other:
        asked = await begin(program)
        form = {"code": asked["user_code"], "answer": "allow"}
        foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        own = await csrf_of(browser)
        for data, headers in (
            (form, {}), ({**form, "csrf": await csrf_of(other)}, {}), ({**form, "csrf": own}, foreign)
        ):  # fmt: skip
            assert (await browser.post("/device/answer", data=data, headers=headers)).status_code == 403
        assert (await browser.get("/device/answer", params={**form, "csrf": own})).status_code in (404, 405)
        assert why(await poll(office, program, asked)) == "authorization_pending"


async def test_whoever_answers_first_has_answered(office: Office) -> None:
    async with office.visitor() as program, office.signed_in(LENA) as browser, office.signed_in(VERA) as other:
        asked = await begin(program)
        await answer(browser, asked)
        form = {"csrf": await csrf_of(other), "code": asked["user_code"], "answer": "allow"}
        assert (await other.post("/device/answer", data=form)).status_code == 404
        assert (await poll(office, program, asked)).json()["username"] == "lena"


async def test_a_program_in_a_browsers_place_opens_no_page_and_lets_nobody_in(office: Office) -> None:
    async with let_in(office) as (_, token), office.visitor() as browser:
        browser.cookies.set(office.app.state.services.desk.cookie, token)
        for page in ("/requests", "/sessions", "/device"):
            assert (await browser.get(page)).headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("how", ["end it", "everywhere", "disabled", "other roles"])
async def test_a_session_that_is_ended_is_over_at_once(office: Office, how: str) -> None:
    async with let_in(office) as (browser, token), office.visitor() as program:
        waiting = await begin(program)
        await answer(browser, waiting)
        assert (await me(office, token)).status_code == 200
        csrf = {"csrf": await csrf_of(browser)}
        match how:
            case "end it":
                page = (await browser.get("/sessions")).text
                session_id = re.findall(r"/sessions/(ses-[a-z2-7]{26})/end", page)[0]
                assert (await browser.post(f"/sessions/{session_id}/end", data=csrf)).status_code == 303
            case "everywhere":
                assert (await browser.post("/sessions/end", data=csrf)).headers["location"] == "/sign-in"
                assert (await browser.get("/sessions")).status_code == 303, "here too"
            case "disabled":
                async with office.db.tenant("acme") as cursor:
                    await disable_account(cursor, "acme", "lena")
            case _:
                async with office.db.tenant("acme") as cursor:
                    await set_roles(cursor, "acme", "lena", ("view",))
        assert (await me(office, token)).status_code == 401
        if how != "end it":
            assert why(await poll(office, program, waiting)) == "access_denied", "who has not come for it yet"
    verbs = [row["verb"] for row in await rows(office, "select verb from session_changes order by change_id")]
    assert verbs[2:] == {"end it": ["end"], "everywhere": ["end_all"]}.get(how, [])


async def test_nobody_ends_the_session_of_another(office: Office) -> None:
    async with let_in(office) as (browser, token), office.signed_in(VERA) as other:
        page = (await browser.get("/sessions")).text
        assert NAME not in (await other.get("/sessions")).text
        for session_id in re.findall(r"/sessions/(ses-[a-z2-7]{26})/end", page):
            await other.post(f"/sessions/{session_id}/end", data={"csrf": await csrf_of(other)})
        assert (await me(office, token)).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": NAME, "tenant": "nobody"}, 404, "invalid_request"),
        ({"client_id": NAME, "tenant": "acme", "scope": "view everything"}, 400, "invalid_scope"),
        ({"client_id": "a\nb", "tenant": "acme"}, 422, None),
        ({"tenant": "acme"}, 422, None),
    ],
)
async def test_a_program_is_told_what_is_wrong(
    office: Office, form: dict[str, str], status: int, error: str | None
) -> None:
    async with office.visitor() as program:
        refused = await program.post("/api/device/code", data=form)
        assert (refused.status_code, refused.json().get("error")) == (status, error)
        wrong = {"grant_type": "password", "device_code": "x"}
        assert why(await program.post("/api/device/token", data=wrong)) == "unsupported_grant_type"


def test_a_code_is_read_however_it_is_typed() -> None:
    assert [code_in(typed) for typed in ("bcdf-ghjk", " BCDF GHJK ", "bcdfghjk", "BCDF.GHJK")] == ["BCDFGHJK"] * 4
    assert [code_in(typed) for typed in ("", "BCDF-GHJA", "BCDF-GHJ", "\u0412CDF-GHJK", "BCDF-GHJK\0")] == [""] * 5
