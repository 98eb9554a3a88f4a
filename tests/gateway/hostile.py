"""Messages that must not pass, whatever the policy says. Each hides a call of `forbidden` or breaks a reader."""

from __future__ import annotations

import json

GOOD = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","arguments":{}}}'


def _with(old: str, new: str) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new).encode()


def _nested(depth: int) -> bytes:
    # The message, params and arguments are three levels themselves.
    inner = "[" * (depth - 3) + "]" * (depth - 3)
    return _with('"arguments":{}', f'"arguments":{{"a":{inner}}}')


def _listen(wanted: str) -> bytes:
    params = f'"params":{{"notifications":{wanted}}}'
    return f'{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen",{params}}}'.encode()


HOSTILE: dict[str, bytes] = {
    "name twice, safe first": _with('"name":"safe"', '"name":"safe","name":"forbidden"'),
    "name twice, safe last": _with('"name":"safe"', '"name":"forbidden","name":"safe"'),
    "name twice by escape": _with('"name":"safe"', '"name":"safe","n\\u0061me":"forbidden"'),
    "method twice": _with('"method":"tools/call"', '"method":"ping","method":"tools/call"'),
    "id twice": _with('"id":1', '"id":1,"id":2'),
    "params twice": _with('"params":', '"params":{},"params":'),
    "key twice deep in the arguments": _with('"arguments":{}', '"arguments":{"a":[{"b":1,"b":2}]}'),
    "Name beside name": _with('"name":"safe"', '"name":"safe","Name":"forbidden"'),
    "NAME alone": _with('"name":"safe"', '"NAME":"forbidden"'),
    "Arguments beside arguments": _with('"arguments":{}', '"arguments":{},"Arguments":{"x":1}'),
    "Params beside params": _with('"params":', '"Params":{"name":"forbidden"},"params":'),
    "Method beside method": _with('"method":', '"Method":"tools/call","method":'),
    "METHOD instead of method": _with('"method":', '"METHOD":'),
    "JSONRPC beside jsonrpc": _with('"jsonrpc":', '"JSONRPC":"2.0","jsonrpc":'),
    "ID beside id": _with('"id":1', '"id":1,"ID":2'),
    "long s in params": _with('"params":', '"param\u017f":{"name":"forbidden"},"params":'),
    "full-width name": _with('"name":"safe"', '"name":"safe","\uff4eame":"forbidden"'),
    "name with a zero-width space": _with('"name":"safe"', '"name":"safe","name\u200b":"forbidden"'),
    "name with a blank": _with('"name":"safe"', '"name":"safe","name ":"forbidden"'),
    "arguments a list": _with('"arguments":{}', '"arguments":[]'),
    "arguments a string": _with('"arguments":{}', '"arguments":"{}"'),
    "arguments null": _with('"arguments":{}', '"arguments":null'),
    "name a number": _with('"name":"safe"', '"name":7'),
    "name missing": _with('"name":"safe",', ""),
    "params missing": b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
    "params a list": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["safe"]}',
    "params null": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}',
    "_meta a list": _with('"arguments":{}', '"_meta":[]'),
    "own _meta": _with('"arguments":{}', '"_meta":{"mcpwatch/decision":{}}'),
    "own _meta in capitals": _with('"arguments":{}', '"_meta":{"MCPWATCH/approved":true}'),
    "jsonrpc a number": _with('"jsonrpc":"2.0"', '"jsonrpc":2.0'),
    "jsonrpc 1.0": _with('"jsonrpc":"2.0"', '"jsonrpc":"1.0"'),
    "jsonrpc missing": _with('"jsonrpc":"2.0",', ""),
    "id null": _with('"id":1', '"id":null'),
    "id a fraction": _with('"id":1', '"id":1.5'),
    "id 1.0": _with('"id":1', '"id":1.0'),
    "id true": _with('"id":1', '"id":true'),
    "id an object": _with('"id":1', '"id":{}'),
    "id a list": _with('"id":1', '"id":[1]'),
    "method a number": _with('"method":"tools/call"', '"method":1'),
    "request and result": _with('"id":1', '"id":1,"result":{}'),
    "request and error": _with('"id":1', '"id":1,"error":{}'),
    "batch": f"[{GOOD},{GOOD}]".encode(),
    "batch of one": f"[{GOOD}]".encode(),
    "empty batch": b"[]",
    "text": b'"tools/call"',
    "number": b"1",
    "null": b"null",
    "nothing": b"",
    "blanks": b"  \n ",
    "two messages": f"{GOOD}{GOOD}".encode(),
    "two lines": f"{GOOD}\n{GOOD}".encode(),
    "carriage return and a call": b'{"jsonrpc":"2.0","id":1,"method":"ping"}\r' + GOOD.encode(),
    "trailing letters": f"{GOOD}x".encode(),
    "comment": f"/* */{GOOD}".encode(),
    "trailing comma": _with('"arguments":{}}', '"arguments":{},}'),
    "single quotes": GOOD.replace('"', "'").encode(),
    "byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "UTF-16": GOOD.encode("utf-16"),
    "UTF-16 without a mark": GOOD.encode("utf-16-le"),
    "UTF-32": GOOD.encode("utf-32"),
    "overlong UTF-8": GOOD.encode().replace(b"safe", b"s\xc1\xa1fe"),
    "0xFF": GOOD.encode().replace(b"safe", b"s\xfffe"),
    "encoded surrogate": GOOD.encode().replace(b"safe", b"s\xed\xa0\x80fe"),
    "lone surrogate in the name": _with("safe", "s\\ud800fe"),
    "lone surrogate in a key": _with('"arguments":{}', '"arguments":{"\\udfff":1}'),
    "lone surrogate in a value": _with('"arguments":{}', '"arguments":{"a":"\\uD83D"}'),
    "reversed surrogates": _with('"arguments":{}', '"arguments":{"a":"\\ude00\\ud83d"}'),
    "lone surrogate in the id": _with('"id":1', '"id":"\\ud800"'),
    "raw control character": _with("safe", "s\x01fe"),
    "raw line feed in a string": _with("safe", "s\nfe"),
    "NaN": _with('"arguments":{}', '"arguments":{"a":NaN}'),
    "Infinity": _with('"arguments":{}', '"arguments":{"a":Infinity}'),
    "-Infinity": _with('"arguments":{}', '"arguments":{"a":-Infinity}'),
    "1e400": _with('"arguments":{}', '"arguments":{"a":1e400}'),
    "-1e400": _with('"arguments":{}', '"arguments":{"a":-1e400}'),
    "5000 digits": _with('"arguments":{}', f'"arguments":{{"a":{"9" * 5000}}}'),
    "5000 digits as id": _with('"id":1', f'"id":{"9" * 5000}'),
    "5000 digits before a point": _with('"arguments":{}', f'"arguments":{{"a":{"9" * 5000}.5}}'),
    "hexadecimal number": _with('"arguments":{}', '"arguments":{"a":0x10}'),
    "leading zero": _with('"arguments":{}', '"arguments":{"a":010}'),
    "depth 65": _nested(65),
    "depth 1,000": _nested(1_000),
    "depth 100,000": _nested(100_000),
    "unclosed 100,000": _with('"arguments":{}}', '"arguments":{"a":' + "[" * 100_000),
    "unclosed string": _with('"arguments":{}}}', '"arguments":"'),
    "a subscription spelled oddly": _listen('{"ResourceSubscriptions":["secret://x"]}'),
    "a subscription beside another": _listen('{"resourceSubscriptions":[],"resourcesubscriptions":["secret://x"]}'),
    "subscriptions that are a text": _listen('{"resourceSubscriptions":"secret://x"}'),
    "subscriptions that are objects": _listen('{"resourceSubscriptions":[{"uri":"secret://x"}]}'),
    "wishes that are a list": _listen('[{"resourceSubscriptions":["secret://x"]}]'),
    "larger than 4 MiB": _with('"arguments":{}', '"arguments":{"a":"' + "x" * (4 * 2**20) + '"}'),
}

LOOKALIKES = [
    "Tools/Call",
    "tools/call ",
    " tools/call",
    "TOOLS/CALL",
    "tools/ca\u200bll",
    "tools/call\u0000",
    "tools／call",
]


def lookalike(method: str) -> bytes:
    """A call under a method name that a careless reader takes for `tools/call`."""
    return json.dumps({**json.loads(GOOD), "method": method}).encode()
