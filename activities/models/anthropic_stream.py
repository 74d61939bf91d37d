"""The answer of Anthropic's Messages API, put together from the events of its stream, none of which is trusted."""

from collections.abc import Mapping

from activities.models.errors import ModelUnavailable
from activities.models.names import WireNames
from activities.models.wire import Draft, Wire, count, object_of, reply_of, text_of
from contracts.model import ModelReply, ModelRequest, StopReason, Usage

__all__ = ["MessageStream"]

_STOPS = {
    "tool_use": StopReason.TOOL_CALLS,
    "end_turn": StopReason.END_TURN,
    "stop_sequence": StopReason.END_TURN,
    "max_tokens": StopReason.MAX_TOKENS,
    "model_context_window_exceeded": StopReason.MAX_TOKENS,
    "refusal": StopReason.REFUSAL,
}


class MessageStream:
    """The events of one answer, as untrusted JSON objects."""

    def __init__(self) -> None:
        self._message: Mapping[str, object] = {}
        self._blocks: dict[int, dict[str, object]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._usage: dict[str, object] = {}
        self._delta: Mapping[str, object] = {}
        self._ended = False
        self.request_id = ""
        """From the response's headers: what the provider's support asks for."""

    def add(self, event: Mapping[str, object]) -> str:
        """Take an event; returns the text that it brought, for the progress note."""
        match event.get("type"):
            case "message_start":
                self._message = object_of(event.get("message"))
                self._usage = dict(object_of(self._message.get("usage")))
            case "content_block_start":
                index = count(event.get("index"))
                self._blocks[index] = dict(object_of(event.get("content_block")))
                self._pieces[index] = []
            case "content_block_delta":
                return self._grow(count(event.get("index")), object_of(event.get("delta")))
            case "message_delta":
                self._delta = object_of(event.get("delta"))
                # Cumulative; what it does not repeat stands as the start said.
                counted = object_of(event.get("usage")).items()
                self._usage.update({key: value for key, value in counted if value is not None})
            case "message_stop":
                self._ended = True
            case _:
                pass
        return ""

    def _grow(self, index: int, delta: Mapping[str, object]) -> str:
        block = self._blocks.get(index)
        if block is None:
            return ""
        if delta.get("type") == "input_json_delta":
            piece = text_of(delta.get("partial_json"))
            self._pieces[index].append(piece)
            return piece
        for field in ("text", "thinking", "signature"):
            if delta.get("type") == f"{field}_delta":
                block[field] = text_of(block.get(field)) + text_of(delta.get(field))
                return text_of(delta.get(field))
        return ""

    def reply(self, request: ModelRequest, names: WireNames) -> ModelReply:
        """The reply.

        Raises:
            ModelUnavailable: the stream ended before the answer did.
        """
        if not self._ended:
            raise ModelUnavailable("anthropic: the stream ended before the answer did", possibly_charged=True)
        draft = Draft()
        draft.served_model = text_of(self._message.get("model"))
        draft.request_id = self.request_id or text_of(self._message.get("id"))
        draft.usage = _usage(self._usage)
        markers: list[Wire] = []
        for index in sorted(self._blocks):
            markers.extend(_take(self._blocks[index], "".join(self._pieces[index]), draft))
        if any(marker.get("type") in ("thinking", "redacted_thinking") for marker in markers):
            draft.opaque = markers
        reason = text_of(self._delta.get("stop_reason"))
        details = object_of(self._delta.get("stop_details"))
        draft.stop = _STOPS.get(reason, StopReason.OTHER)
        words = (reason, text_of(details.get("category")), text_of(details.get("explanation")))
        draft.stop_detail = ": ".join(filter(None, words))
        return reply_of(draft, request, names)


def _take(block: Mapping[str, object], json_text: str, draft: Draft) -> list[Wire]:
    """Add a content block to the draft; returns what must be remembered of it to hand thinking back in place."""
    match block.get("type"):
        case "text":
            draft.texts.append(text_of(block.get("text")))
            return [{"type": "text"}]
        case "tool_use":
            call_id = text_of(block.get("id"))
            draft.calls.append((call_id, text_of(block.get("name")), json_text or "{}"))
            return [{"type": "tool_use", "id": call_id}]
        case "thinking" | "redacted_thinking":
            return [{key: value for key, value in block.items() if value is not None}]
        case _:
            return []


def _usage(usage: Mapping[str, object]) -> Usage | None:
    if not usage:
        return None
    read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    return Usage(
        # Theirs leaves out what the cache read and wrote.
        input_tokens=count(usage.get("input_tokens")) + read + written,
        cached_input_tokens=read,
        cache_write_tokens=written,
        output_tokens=count(usage.get("output_tokens")),
        reasoning_tokens=count(object_of(usage.get("output_tokens_details")).get("thinking_tokens")),
    )
