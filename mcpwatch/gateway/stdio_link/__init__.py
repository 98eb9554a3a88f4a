"""An upstream that is a program on this machine, which speaks MCP in lines."""
