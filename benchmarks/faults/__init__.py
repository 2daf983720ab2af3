"""What adapters do when their device misbehaves: what is answered, how fast, and what is left."""
