# Everything a developer does, in one word each. `make setup` is idempotent; the others call it.
