"""HTTP for callers: connections read on llhttp, one exchange for each request. Knows nothing of MCP."""
