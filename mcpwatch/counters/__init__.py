"""Counters that several gateways share, in Redis. The only room that knows it; what a limit means is the policy's."""
