"""The benchmark measures: the smallest one runs whole, on servers of its own."""

import json
import subprocess
import sys

import pytest

from settings.sources import ROOT


@pytest.mark.long
def test_the_smallest_benchmark_measures_both_sides() -> None:
    options = ("--k", "2", "--repeats", "1", "--jobs", "1", "--alone", "1", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["2"]
    assert found["cpu_ratio"]["median"] > 0
    (pair,) = found["pairs"]
    assert pair["ours"]["cpu"]["seconds"]["postgres"] > 0
    assert pair["ours"]["kept"]["database"] > pair["ours"]["kept"]["message_stored"] > 0
    assert pair["bare"]["kept"]["events"] > pair["bare"]["kept"]["database"] == 0
