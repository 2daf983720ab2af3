"""Where events come from: OpenADR 3 and 2.0b, a webhook, a watched folder.

Each source turns what it hears into ``GridEvent`` and hands it to the ``Inbox``, which alone
decides what is new, changed, repeated or taken back. ``SiteReport`` goes the other way.
"""
