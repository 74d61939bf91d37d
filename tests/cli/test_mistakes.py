"""What is typed wrongly is answered in one line that says what is allowed, not in a validator's words."""

import pytest
from pydantic import ValidationError

from cli.main import run
from cli.mistakes import mistake_in
from store.accounts import NewAccount


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["approvals", "account", "add", "mara k"], "username 'mara k': take letters a to z, digits and . _ @ + -"),
        (["approvals", "account", "add", "Mära"], "username 'Mära': take letters"),
        (["approvals", "account", "add", "m" * 128], "at most 127"),
        (["approvals", "account", "add", "mara", "--name", "m" * 201], "display name 'mmm"),
        (["approvals", "account", "add", "mara", "--person", "m" * 201], "write at most 200 characters"),
        (["tokens", "create", "w", "--scope", "runs:read"], "name 'w': write at least 3 characters"),
        (["tokens", "create", "wall\nboard", "--scope", "runs:read"], "it holds characters that cannot be here"),
        (["tokens", "create", "wallboard", "--scope", "runs:write"], "scopes 'runs:write': it is one of 'requests:"),
        (["tokens", "revoke", "tok-" + "a" * 26, "--reason", "x"], "reason 'x': write at least 3 characters"),
    ],
)
def test_a_mistake_is_one_line_of_ours(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    for word in ("pattern", "String", "Input", "^["):
        assert word not in error


def test_a_group_that_cannot_be_one_is_said_to_be() -> None:
    new = {"tenant": "acme", "username": "mara", "person": "mara", "display_name": "Mara", "groups": ("Fin ance",)}
    with pytest.raises(ValidationError) as wrong:
        NewAccount.model_validate(new)
    assert str(mistake_in(wrong.value, "Look again.")) == (
        "groups 'Fin ance': take lower-case letters a to z, digits and -, a letter first, at most 63. Look again."
    )
