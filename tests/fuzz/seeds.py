"""Messages to begin with: legal ones of every method, and the hostile ones that somebody thought of."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.hostile import HOSTILE, LOOKALIKES, lookalike

_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "a", "version": "1"},
}
_REQUESTS: dict[str, Any] = {
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}},
    "ping": {},
    "server/discover": {"_meta": _ENVELOPE},
    "subscriptions/listen": {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["test://a"]}},
    "tools/list": {"cursor": "next"},
    "tools/call": {"name": "safe", "arguments": {"a": [1, -0.0, 1e-7, True, None, "\u2028"]}, "task": {"ttl": 5}},
    "resources/read": {"uri": "test://a"},
    "resources/subscribe": {"_meta": _ENVELOPE},
    "prompts/get": {"name": "p", "arguments": {}},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}},
    "logging/setLevel": {"level": "info"},
    "tasks/get": {"taskId": "t"},
}
NUMBERS = (
    *(b"0", b"-0", b"-0.0", b"1", b"-1", b"00", b"01", b"-", b"+1", b".5", b"1.", b"1.e1", b"1e", b"1e+", b"1E5"),
    *(b"1e308", b"1.7976931348623157e308", b"1.7976931348623159e308", b"1e309", b"1e400", b"-1e400", b"0e999999"),
    *(b"5e-324", b"1e-400", b"1e99999999999999999999", b"1e-99999999999999999999", b"0x1", b"1_000", b"Infinity"),
    *(b"NaN", b"-Infinity", b"18446744073709551616", b"9" * 4300, b"9" * 4301, b"-" + b"9" * 4300, b"9" * 400 + b".0"),
    *("\u0661".encode(), "\uff11".encode(), b"1\x00", b"\x0b1", b"\xa01"),
)
STRINGS = (
    *(b'""', b'"\\u0000"', b'"\\u000g"', b'"\\uD83D\\uDE00"', b'"\\uD83D"', b'"\\uDE00\\uD83D"', b'"\\uD83D\\u0041"'),
    *(b'"\\uD83Dx"', b'"\\x41"', b'"\\a"', b'"\\/"', b'"\t"', b'"\x7f"', b'"\xc0\x80"', b'"\xed\xa0\xbd\xed\xb8\x80"'),
    *(b'"\xf4\x90\x80\x80"', b'"\xf0\x9f\x98\x80"', b'"\xef\xbf\xbe"', b'"\xe2\x80\xa8"', b"'a'", b'"\\'),
)
KEYS = (
    *(b"Name", b"NAME", b"name ", b"na\\u006de", b"n\\u00e4me", "nam\u0435".encode(), "\uff4eame".encode(), b"\\u006e"),
    *("name\u200b".encode(), "name\u2065".encode(), "name\U000e0002".encode(), "name\ufff0".encode()),
    *("\u0131d".encode(), "\u0130d".encode(), "par\u00e4ms".encode(), "param\u017f".encode(), b"taskID", b"_META"),
)


def legal() -> list[bytes]:
    """One message or more of every kind."""
    calls = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        for number, (method, params) in enumerate(_REQUESTS.items())
    ]
    return [
        *calls,
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"x"}}',
        b'{"jsonrpc":"2.0","id":"a","result":{"roots":[]}}',
        b'{"jsonrpc":"2.0","id":-1,"error":{"code":-32601,"message":"no"}}',
        b' { "id" : 123456789012345678901234567890 , "method" : "ping" , "jsonrpc" : "2\\u002e0" }\r\n',
    ]


def spelled() -> list[bytes]:
    """Every odd number, string and key in a place where it decides something."""
    call = b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":{"name":%b,"arguments":{"a":%b}}}'
    twin = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","%b":1},"x%b":1}'
    outer = b'{"jsonrpc":"2.0","id":1,"method":"ping","%b":1}'
    return [
        *(call % (number, b'"t"', b"1") for number in NUMBERS),
        *(call % (b"1", b'"t"', number) for number in NUMBERS),
        *(call % (text, b'"t"', b"1") for text in STRINGS),
        *(call % (b"1", text, text) for text in STRINGS),
        *(twin % (key, key) for key in KEYS),
        *(outer % key for key in KEYS),
    ]


def all_seeds() -> list[bytes]:
    """Everything that is small enough to be changed quickly."""
    hostile = [*HOSTILE.values(), *(lookalike(method) for method in LOOKALIKES)]
    return [raw for raw in (*legal(), *spelled(), *hostile) if len(raw) < 16_384]
