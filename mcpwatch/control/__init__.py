"""The operator's API on the Unix socket: `server` beside the gateway, `client` beside the console."""
