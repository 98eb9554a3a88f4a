"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is slow now and then, which says nothing about what is tested.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
