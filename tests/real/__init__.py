"""The gateway in front of real servers: the acceptance of the main job, on loopback, without an account anywhere.

    pytest -m slow tests/real

The servers and emulators are installed once, each into an environment of its own under $MCPWATCH_REAL_PARTS (default:
`mcpwatch-real-parts` in the user's cache folder); the first run downloads about 400 MB from PyPI and takes minutes.
AWS is emulated by moto, Kubernetes by kmock with what it lacks for this purpose (`kubernetes_api`).
"""
