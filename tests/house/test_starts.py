"""What a process or command never uses, it does not load: seconds, of every start."""

import json
import subprocess
import sys

import pytest

from settings.sources import ROOT

_LOAD = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    ("modules", "unused"),
    [
        (("cli.approvals", "cli.runs", "cli.evals", "cli.tokens"), ("fastapi", "authlib", "pydantic_ai", "webauthn")),
        (("approvals.app",), ("opentelemetry.sdk", "openai", "anthropic")),
        (("workers.intake.__main__",), ("opentelemetry.sdk", "authlib", "webauthn", "openai", "anthropic")),
        (("workers.worker",), ("fastapi", "authlib", "pydantic_ai", "webauthn", "openai", "anthropic")),
    ],
    ids=["commands", "form", "intake", "worker"],
)
def test_a_start_loads_nothing_heavy_that_it_does_not_use(modules: tuple[str, ...], unused: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", _LOAD, *modules]
    loaded = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)
    assert modules[-1] in loaded
    assert not set(unused) & set(loaded)
