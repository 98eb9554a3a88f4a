"""The allow-list of variables, and how secrets stay out of texts."""

from __future__ import annotations

from mcpwatch.upstreams.catalogue import PRESETS
from mcpwatch.upstreams.environment import pick, scrub


def test_only_listed_names_pass() -> None:
    environ = {
        "HOME": "/h",
        "PATH": "/b",
        "AWS_REGION": "r",
        "AWS_FUTURE": "no",
        "GITHUB_TOKEN": "no",
        "LD_PRELOAD": "no",
    }
    assert pick(environ, PRESETS["eks"].env) == {"HOME": "/h", "PATH": "/b", "AWS_REGION": "r"}
    assert pick(environ, PRESETS["time"].env) == {"HOME": "/h", "PATH": "/b"}


def test_a_star_stands_for_the_end_of_a_name() -> None:
    environ = {
        "AWS_ENDPOINT_URL": "1",
        "AWS_ENDPOINT_URL_IAM": "2",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "3",
        "UV_X": "4",
    }
    assert pick(environ, PRESETS["eks"].env) == environ
    assert pick(environ, ()) == {}


def test_values_of_secrets_are_replaced_by_their_names() -> None:
    env = {
        "AWS_SECRET_ACCESS_KEY": "abcdefgh",
        "AWS_SESSION_TOKEN": "abcdefghij",
        "AWS_REGION": "eu-west-1",
        "HOME": "/h",
    }
    text = "key abcdefgh, token abcdefghij in eu-west-1 under /h"
    assert scrub(text, env) == "key <AWS_SECRET_ACCESS_KEY>, token <AWS_SESSION_TOKEN> in eu-west-1 under /h"
