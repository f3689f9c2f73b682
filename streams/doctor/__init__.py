"""Whether the systems suit each other: what each of them allows, against what we ask of it.

A module for each system asks it (`examine`) and judges the answers (all other functions, which are pure). Nothing is
changed anywhere, and a system that cannot be asked is itself a finding.
"""
