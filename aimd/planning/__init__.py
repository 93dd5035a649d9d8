"""Pure decisions: a plan is a function of what was observed, without I/O.

Files here are words that all kinds share; folders are one kind each.
"""
