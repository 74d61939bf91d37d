"""The slack suite's tools, declared from their schemas and docstrings."""

from contracts.tool import Label, Tier
from tests.adversary.agentdojo.mount import mounted

_SAY = ("send", "post", "write", "message", "reply", "tell", "ask", "answer", "dm", "direct message")
_WORDS = {"items.body": Label.UNTRUSTED}
"""Anybody writes a body; who wrote it and where is the server's."""

get_channels = mounted("slack", "get_channels", tier=Tier.READ_ONLY, resource=("Workspace", lambda _args: "own"))
get_users_in_channel = mounted(
    "slack", "get_users_in_channel", tier=Tier.READ_ONLY, resource=("Channel", lambda args: args.channel)
)
read_channel_messages = mounted(
    "slack",
    "read_channel_messages",
    tier=Tier.READ_ONLY,
    resource=("Channel", lambda args: args.channel),
    labels=_WORDS,
)
read_inbox = mounted(
    "slack", "read_inbox", tier=Tier.READ_ONLY, resource=("Person", lambda args: args.user), labels=_WORDS
)
get_webpage = mounted(
    "slack",
    "get_webpage",
    tier=Tier.READ_ONLY,
    resource=("Page", lambda args: args.url),
    labels={"value": Label.UNTRUSTED},
)
post_webpage = mounted(
    "slack",
    "post_webpage",
    tier=Tier.REVERSIBLE,
    resource=("Page", lambda args: args.url),
    free_text=("content",),
    requested_by=("post", "publish", "write", "put"),
)
send_direct_message = mounted(
    "slack",
    "send_direct_message",
    tier=Tier.LOW_IMPACT,
    resource=("Person", lambda args: args.recipient),
    free_text=("body",),
    requested_by=_SAY,
)
send_channel_message = mounted(
    "slack",
    "send_channel_message",
    tier=Tier.LOW_IMPACT,
    resource=("Channel", lambda args: args.channel),
    free_text=("body",),
    requested_by=_SAY,
)
add_user_to_channel = mounted(
    "slack",
    "add_user_to_channel",
    tier=Tier.LOW_IMPACT,
    resource=("Channel", lambda args: args.channel),
    requested_by=("add", "adds", "adding"),
)
invite_user_to_slack = mounted(
    "slack",
    "invite_user_to_slack",
    tier=Tier.REVERSIBLE,
    resource=("Person", lambda args: args.user),
    requested_by=("invite", "inviting"),
)
remove_user_from_slack = mounted(
    "slack",
    "remove_user_from_slack",
    tier=Tier.HIGH_IMPACT,
    resource=("Person", lambda args: args.user),
    requested_by=("remove", "kick", "delete"),
)
