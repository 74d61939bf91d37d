"""Prices: integers, rounded up, never unknown and never free by accident."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.models.prices import UnpricedModel, cost_micros, ensure_priced, upper_bound_micros
from activities.models.tokens import estimate_tokens, tokens_in
from contracts.model import ModelChoice, Price, Provider, Usage
from tests.activities.models.conftest import choice_of, request_of

pytestmark = pytest.mark.req("B1", "B4")

AT = datetime(2026, 11, 1, tzinfo=UTC)
PRICE = Price(
    input_micros_per_mtok=1_000_000,
    cached_input_micros_per_mtok=100_000,
    cache_write_micros_per_mtok=1_250_000,
    output_micros_per_mtok=4_000_000,
)
HAIKU = choice_of(Provider.ANTHROPIC)
"""Listed at 1 dollar per million in, 0.10 from and 1.25 to the cache, 5 out."""
counts = st.integers(min_value=0, max_value=10**7)


def configured(provider: Provider = Provider.COMPATIBLE) -> ModelChoice:
    return choice_of(provider).model_copy(update={"price": PRICE})


def test_a_listed_price_counts_the_cache_apart_and_once() -> None:
    usage = Usage(input_tokens=1000, cached_input_tokens=600, cache_write_tokens=300, output_tokens=100)
    assert cost_micros(HAIKU, usage, HAIKU.model, AT) == 100 + 60 + 375 + 500


def test_the_model_that_answered_sets_the_price() -> None:
    usage = Usage(input_tokens=1000)
    assert cost_micros(HAIKU, usage, "claude-opus-4-5-20251101", AT) == 5000
    assert cost_micros(HAIKU, usage, "claude-of-tomorrow-nobody-listed", AT) == 1000


def test_a_part_of_a_micro_dollar_is_a_whole_one() -> None:
    assert cost_micros(choice_of(Provider.OPENAI), Usage(input_tokens=1), "", AT) == 1
    assert cost_micros(configured(), Usage(cached_input_tokens=1, input_tokens=1), "", AT) == 1


@pytest.mark.parametrize("provider", [Provider.OPENAI, Provider.ANTHROPIC, Provider.COMPATIBLE])
def test_an_unlisted_model_is_refused_before_any_call(provider: Provider) -> None:
    choice = choice_of(provider).model_copy(update={"model": "nobody-listed-me"})
    with pytest.raises(UnpricedModel, match="Give small a price in settings/models"):
        ensure_priced(choice)
    with pytest.raises(UnpricedModel):
        cost_micros(choice, Usage(input_tokens=1), "nor-me", AT)


def test_a_script_is_free_unless_it_is_given_a_price() -> None:
    script = ModelChoice(name="small", provider=Provider.SCRIPTED, model="scripted")
    assert cost_micros(script, Usage(input_tokens=10**6), "scripted:x", AT) == 0
    priced = script.model_copy(update={"price": PRICE})
    assert cost_micros(priced, Usage(input_tokens=10**6), "scripted:x", AT) == 1_000_000


@given(counts, counts, counts, counts, st.sampled_from([HAIKU, configured(), choice_of(Provider.OPENAI)]))
def test_no_call_costs_more_than_its_bound(
    read: int, written: int, plain: int, output: int, choice: ModelChoice
) -> None:
    total = read + written + plain
    usage = Usage(input_tokens=total, cached_input_tokens=read, cache_write_tokens=written, output_tokens=output)
    assert 0 <= cost_micros(choice, usage, choice.model, AT) <= upper_bound_micros(choice, total, output)


@given(counts, counts, counts)
def test_contradictory_counts_of_a_provider_still_have_a_price(read: int, written: int, total: int) -> None:
    usage = Usage(input_tokens=total, cached_input_tokens=read, cache_write_tokens=written)
    for choice in (HAIKU, configured()):
        assert cost_micros(choice, usage, choice.model, AT) <= upper_bound_micros(choice, total, 0)


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(one: str, other: str) -> None:
    assert tokens_in(one + other) >= max(tokens_in(one), tokens_in(other))
    assert tokens_in(one) >= len(one) / 2


def test_the_estimate_lies_above_what_tokenizers_count() -> None:
    # Counted with o200k: 9 tokens, and 19 for the Japanese.
    assert tokens_in("The quick brown fox jumps over the lazy dog.") >= 10
    assert tokens_in("注文した商品が壊れていたので返金してください") >= 19
    plain = estimate_tokens(request_of(choice_of(Provider.OPENAI), "hi"))
    assert estimate_tokens(request_of(choice_of(Provider.ANTHROPIC), "hi")) > plain > 50
