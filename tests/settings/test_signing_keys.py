"""Signing keys rotate without a moment in which nobody can sign, or in which what was signed cannot be verified."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey, OKPKey

from settings import SettingsError
from settings.key_files import replace_in_place
from settings.signing_keys import (
    SigningKey,
    SigningKeys,
    key_set_text,
    new_key,
    parse_keys,
    public_set,
    retired,
    rotated,
)

pytestmark = pytest.mark.req("I3")

LIFETIME_S = 300
NOW = 1_800_000_000


def current(keys: tuple[SigningKey, ...], now_s: int) -> SigningKey:
    return [key for key in keys if key.not_before_s <= now_s and key.is_published(now_s)][-1]


def kids(text: str) -> set[str]:
    return {key["kid"] for key in json.loads(text)["keys"]}


@given(
    rotations=st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 900)), max_size=6),
    looks=st.lists(st.integers(0, 40_000), min_size=1, max_size=20),
)
def test_whatever_is_signed_verifies_until_it_is_over(rotations: list[tuple[int, int]], looks: list[int]) -> None:
    made: list[tuple[int, tuple[SigningKey, ...]]] = [(NOW, (new_key(),))]
    at = NOW
    for wait_s, lead_s in rotations:
        at += wait_s
        made.append((at, rotated(made[-1][1], new_key(), now_s=at, lead_s=lead_s, overlap_s=LIFETIME_S)))

    def known(at_s: int) -> tuple[SigningKey, ...]:
        return [keys for since_s, keys in made if since_s <= at_s][-1]

    for look in looks:
        signs = current(known(NOW + look), NOW + look)
        for later_s in (0, 1, LIFETIME_S - 1):
            assert signs.kid in kids(public_set(known(NOW + look + later_s), NOW + look + later_s))


@given(lead_s=st.integers(1, 1_000))
def test_a_new_key_is_published_before_it_signs(lead_s: int) -> None:
    old, fresh = new_key(), new_key()
    keys = rotated((old,), fresh, now_s=NOW, lead_s=lead_s, overlap_s=LIFETIME_S)
    assert kids(public_set(keys, NOW)) == {old.kid, fresh.kid}
    assert current(keys, NOW + lead_s - 1).kid == old.kid
    assert current(keys, NOW + lead_s).kid == fresh.kid
    assert kids(public_set(keys, NOW + lead_s + LIFETIME_S)) == {fresh.kid}


def test_keys_survive_their_file_and_public_sets_hold_no_private_part() -> None:
    keys = rotated((new_key(),), new_key(), now_s=NOW, lead_s=60, overlap_s=LIFETIME_S)
    again = parse_keys(key_set_text(keys))
    assert [(key.kid, key.not_before_s, key.expires_s) for key in again] == [
        (key.kid, key.not_before_s, key.expires_s) for key in keys
    ]
    for public in json.loads(public_set(keys, NOW))["keys"]:
        assert set(public) == {"kty", "crv", "x", "kid", "use"}
    assert str(keys[0].key.as_dict(private=True)["d"]) not in repr(keys)


def test_the_last_key_that_can_sign_is_not_retired() -> None:
    keys = rotated((new_key(),), new_key(), now_s=NOW, lead_s=60, overlap_s=LIFETIME_S)
    with pytest.raises(ValueError, match="rotate first"):
        retired(keys, keys[0].kid, NOW)
    assert retired(keys, keys[0].kid, NOW + 60) == keys[1:]
    with pytest.raises(ValueError, match="there is no key"):
        retired(keys, "else", NOW)


def test_the_id_of_a_new_key_is_never_taken_for_an_option() -> None:
    assert not [kid for kid in (new_key().kid for _ in range(500)) if kid.startswith("-")]


PRIVATE = OKPKey.generate_key("Ed25519").as_dict(private=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("{", "not JSON"),
        ("[]", "not a private Ed25519 key"),
        ('{"keys": []}', "neither a JWK nor a set"),
        (json.dumps({"keys": [PRIVATE, PRIVATE]}), "holds a key twice"),
        (json.dumps({**PRIVATE, "nbf": "soon"}), "a time that is no number"),
        (json.dumps({name: value for name, value in PRIVATE.items() if name != "d"}), "not a private Ed25519 key"),
        (json.dumps(OctKey.generate_key(256).as_dict(private=True)), "not a private Ed25519 key"),
        (json.dumps({**PRIVATE, "d": "AAAA"}), "not a private Ed25519 key"),
    ],
)
def test_what_is_no_private_key_is_refused_without_showing_it(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(SettingsError, match=message) as told:
        SigningKeys("file:key", tmp_path, purpose="credential")
    assert str(PRIVATE["d"]) not in str(told.value)


def test_a_changed_file_is_read_again_and_a_damaged_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settings.signing_keys._LOOK_EVERY_S", 0.0)
    file = tmp_path / "key"
    old = new_key()
    file.write_text(key_set_text((old,)))
    inode = file.stat().st_ino
    keys = SigningKeys("file:key", tmp_path, purpose="credential")
    after = rotated((old,), new_key(), now_s=NOW, lead_s=0, overlap_s=LIFETIME_S)
    replace_in_place(file, key_set_text(after))
    assert keys.current(NOW).kid == after[-1].kid
    # The same file, not another under its name: a container that has it mounted sees the change.
    assert file.stat().st_ino == inode
    assert not file.with_name("key.old").exists()
    file.write_text(key_set_text(after)[:40])
    assert keys.current(NOW).kid == after[-1].kid
    keys.withdraw([after[-1].kid])
    assert keys.current(NOW).kid == old.kid


def test_a_write_that_fails_leaves_the_keys_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    before = key_set_text((new_key(),))
    file.write_text(before)
    write = os.fsync
    done: list[int] = []

    def full_disk(descriptor: int) -> None:
        done.append(descriptor)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        write(descriptor)

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(SettingsError, match=r"No space left.*key\.old"):
        replace_in_place(file, "{}")
    kept = file.with_name("key.old")
    assert kept.read_text() == before
    assert kept.stat().st_mode & 0o077 == 0
    with pytest.raises(SettingsError, match="cannot be written"):
        replace_in_place(tmp_path / "absent" / "key", before)
