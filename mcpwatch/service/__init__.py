"""Puts the gateway process together: what starts in which order, who tells whom, and how everything ends."""
