"""The HTTP side of the callers: connections read on llhttp, one exchange for each request, and who may come in."""
