"""Live pages for people, served by every tracker beside the API.

A page is made from what the API answers, by the same functions and from the same owner, so that the two never
contradict each other. It works without JavaScript; with it, the parts that change are fetched again as they change.
"""
