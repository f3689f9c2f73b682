"""Processes that die between an effect and its record: every point, on the real stack, judged from outside."""
