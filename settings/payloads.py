"""How values become payloads of Temporal: pydantic's JSON, with what that needs built once for the whole process.

The SDK makes a payload converter for every workflow instance and every activation. Its own pydantic converter then
starts with an empty cache of type adapters each time; this one shares one cache.
"""

from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)

__all__ = ["DATA_CONVERTER", "SharedPydanticConverter"]

_JSON = PydanticJSONPlainPayloadConverter()


class SharedPydanticConverter(CompositePayloadConverter):
    """`temporalio.contrib.pydantic.PydanticPayloadConverter`, byte for byte, with a shared JSON converter."""

    def __init__(self) -> None:
        """Take the default converters, with pydantic for JSON."""
        super().__init__(
            *(
                _JSON if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


DATA_CONVERTER = DataConverter(payload_converter_class=SharedPydanticConverter)
"""What every client, worker and replayer of ours uses."""
