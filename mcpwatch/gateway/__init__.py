"""The only room that speaks MCP: fronts, strict reading, the relay and its rules, links to upstream servers.

The way of a call: `front` (may it come in?) → `wire` (is it one message?) → `relay` (what is it?) → `calls` → `judging`
(freeze, policy, approvals) → `book` (written) → a link (forwarded) → `deliver` and `settling` (written, then released).
Below `front` is `http_server`; a link is an upstream, `http_link` or `stdio_link`; `stdio_front` is for clients that
only start commands.
"""
