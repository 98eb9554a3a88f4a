"""Upstreams by name: presets as data, how each starts, what it needs, and the config files of clients."""
