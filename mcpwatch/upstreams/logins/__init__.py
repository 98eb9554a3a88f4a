"""The operator's own logins at OAuth-protected upstreams."""
