"""The audit log measured: how fast it writes and proves, what edits it shows, what kills leave."""
