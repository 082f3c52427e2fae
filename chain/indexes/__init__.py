"""Indexes over the active chain, each with its own database and task, behind the owner's events.

They follow the chain and never slow its rules down; deleting indexes/NAME.sqlite rebuilds one.
"""
