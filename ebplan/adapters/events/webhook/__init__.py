"""A web address of our own to which any sender may post calls."""

from ebplan.adapters.events.webhook.source import WebhookSource
from ebplan.adapters.events.webhook.spec import WebhookSpec

__all__ = ["WebhookSource", "WebhookSpec"]
