"""The HTTP interface of every tracker. An answer never depends on which tracker was asked."""
