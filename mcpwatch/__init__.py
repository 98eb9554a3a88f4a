"""mcpwatch: a policy gateway and terminal console between AI agents and MCP servers."""

__version__ = "0.1.0"
