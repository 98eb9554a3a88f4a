"""MCP in lines for clients that only start commands, carried to the gateway over HTTP."""
