"""The demo upstream: an MCP server with the tools of the real EKS server and a cluster that exists only in memory."""
