"""What a model call costs, in integer micro-dollars, rounded up. A model without a known price is refused, never free.

A price configured in the model map goes first, then the public price list of genai-prices, which is dated and works
offline. Its `input_tokens` includes what the cache read and wrote, as ours does.
"""

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import genai_prices
from genai_prices.types import PriceCalculation

from contracts.model import ModelChoice, Price, Provider, Usage

__all__ = ["UnpricedModel", "cost_micros", "ensure_priced", "upper_bound_micros"]

_MILLION = 1_000_000


class UnpricedModel(Exception):  # noqa: N818 - the caller refuses the model by this name
    """No price is known for the model. Configure one in `settings/models.yaml`, or use a listed version."""

    def __init__(self, choice: ModelChoice) -> None:
        super().__init__(
            f"no price is known for {choice.model} of {choice.provider}. "
            f"Give {choice.name} a price in settings/models.yaml (zeros for a server of your own)."
        )
        self.choice = choice


def ensure_priced(choice: ModelChoice) -> None:
    """Check, before any call, that a model has a price.

    Raises:
        UnpricedModel: it has none.
    """
    upper_bound_micros(choice, 1, 1)


def cost_micros(choice: ModelChoice, usage: Usage, served_model: str, at: datetime) -> int:
    """The cost of one call at a time, for the model that answered; where the list does not know that, the chosen one.

    Raises:
        UnpricedModel: neither has a price.
    """
    price = _configured(choice)
    if price is not None:
        return _by_price(price, usage)
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=min(usage.cache_write_tokens, usage.input_tokens - cached),
        output_tokens=usage.output_tokens,
    )
    for model in dict.fromkeys((served_model, choice.model)):
        try:
            return _micros(_listed(choice, model, at, counted))
        except LookupError:
            continue
    raise UnpricedModel(choice)


def upper_bound_micros(choice: ModelChoice, input_tokens: int, output_tokens: int) -> int:
    """The most that one call can cost with so many tokens, at today's list: all input at its dearest, nothing cached.

    Raises:
        UnpricedModel: no price is known.
    """
    price = _configured(choice)
    if price is not None:
        plain = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        return max(
            _by_price(price, plain), _by_price(price, plain.model_copy(update={"cache_write_tokens": input_tokens}))
        )
    now = datetime.now(UTC)
    plain = genai_prices.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    written = genai_prices.Usage(
        input_tokens=input_tokens, cache_write_tokens=input_tokens, output_tokens=output_tokens
    )
    try:
        return max(_micros(_listed(choice, choice.model, now, usage)) for usage in (plain, written))
    except LookupError:
        raise UnpricedModel(choice) from None


_FREE = Price(
    input_micros_per_mtok=0, cached_input_micros_per_mtok=0, cache_write_micros_per_mtok=0, output_micros_per_mtok=0
)


def _configured(choice: ModelChoice) -> Price | None:
    # A script is the one provider that is known to cost nothing; it can be given a price so that budgets can be tested.
    return choice.price or (_FREE if choice.provider is Provider.SCRIPTED else None)


def _by_price(price: Price, usage: Usage) -> int:
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    scaled = (
        (usage.input_tokens - cached - written) * price.input_micros_per_mtok
        + cached * price.cached_input_micros_per_mtok
        + written * price.cache_write_micros_per_mtok
        + usage.output_tokens * price.output_micros_per_mtok
    )
    return -(-scaled // _MILLION)


def _listed(choice: ModelChoice, model: str, at: datetime, usage: genai_prices.Usage) -> PriceCalculation:
    if choice.provider is Provider.COMPATIBLE:
        # Prices belong to who serves: a model of the same name on another server costs something else.
        if not choice.base_url:
            raise LookupError(model)
        return genai_prices.calc_price(usage, model, provider_api_url=choice.base_url, genai_request_timestamp=at)
    return genai_prices.calc_price(usage, model, provider_id=choice.provider.value, genai_request_timestamp=at)


def _micros(calculation: PriceCalculation) -> int:
    return int((Decimal(calculation.total_price) * _MILLION).to_integral_value(rounding=ROUND_CEILING))
