"""What a stolen password hash is worth: the parameters that hold outside of tests, and the renewal of older hashes."""

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from store.passwords import hash_password, is_outdated, verify_password

pytestmark = pytest.mark.req("I6")
PASSWORD = "correct horse battery staple"


def test_a_hash_is_as_dear_as_rfc_9106_recommends(real_hasher: PasswordHasher) -> None:
    found = extract_parameters(real_hasher.hash(PASSWORD))
    assert found.type is Type.ID
    assert (found.time_cost, found.memory_cost, found.parallelism) == (3, 64 * 1024, 4)
    assert (found.salt_len, found.hash_len) == (16, 32)
    assert real_hasher.check_needs_rehash(hash_password(PASSWORD))


async def test_a_hash_of_other_parameters_is_outdated_and_still_verifies(real_hasher: PasswordHasher) -> None:
    older = real_hasher.hash(PASSWORD)
    assert is_outdated(older)
    assert not is_outdated(hash_password(PASSWORD))
    assert await verify_password(older, PASSWORD)
    assert not await verify_password(older, PASSWORD + "r")
    assert not await verify_password(None, PASSWORD)
