"""Counters that several gateways share, in Redis: the only room that knows it. What a limit means is `policy`'s business."""
