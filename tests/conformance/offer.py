"""What the fixture server offers. The names are those the official conformance suites ask for."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

Json = dict[str, Any]

PAGE = 2
TASKS = "io.modelcontextprotocol/tasks"


def _png() -> bytes:
    """One red pixel. Source: W3C PNG, chunk layout."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\x00\xff\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def _wav() -> bytes:
    """Four silent samples of 8 bit at 8 kHz."""
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    data = b"data" + struct.pack("<I", 4) + b"\x80" * 4
    return b"RIFF" + struct.pack("<I", 4 + len(form) + len(data)) + b"WAVE" + form + data


PNG = base64.b64encode(_png()).decode()
WAV = base64.b64encode(_wav()).decode()
IMAGE: Json = {"type": "image", "data": PNG, "mimeType": "image/png"}
AUDIO: Json = {"type": "audio", "data": WAV, "mimeType": "audio/wav"}


def words(text: str) -> Json:
    """A text block."""
    return {"type": "text", "text": text}


def embedded(uri: str, text: str, kind: str = "text/plain") -> Json:
    """A resource inside a result."""
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}


def form(**fields: Json) -> Json:
    """The schema of a question with these fields, all of them required."""
    return {"type": "object", "properties": fields, "required": list(fields)}


_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_CONTACT: Json = {
    "$schema": _DRAFT,
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
_NOTHING: Json = {"type": "object", "properties": {}}
_STRING: Json = {"type": "string"}
_NUMBER: Json = {"type": "number"}

_ARGUMENTS: dict[str, Json] = {
    "json_schema_2020_12_tool": _CONTACT,
    "test_sampling": form(prompt=_STRING),
    "test_elicitation": form(message=_STRING),
    "test_region": form(region={"type": "string", "x-mcp-header": "Region"}),
    "forecast": form(city=_STRING),
    "greet": form(name=_STRING),
    "slow_compute": {"type": "object", "properties": {"seconds": _NUMBER, "label": _STRING}},
    "confirm_delete": form(filename=_STRING),
    "echo": {"type": "object"},
}
_PLAIN = """
    test_simple_text test_image_content test_audio_content test_embedded_resource test_multiple_content_types
    test_tool_with_logging test_tool_with_progress test_error_handling test_sampling test_elicitation
    test_elicitation_sep1034_defaults test_elicitation_sep1330_enums json_schema_2020_12_tool test_reconnection
    test_region test_missing_capability test_streaming_elicitation test_logging_tool test_trigger_tool_change
    test_trigger_prompt_change test_input_required_result_elicitation test_input_required_result_sampling
    test_input_required_result_list_roots test_input_required_result_request_state
    test_input_required_result_multiple_inputs test_input_required_result_multi_round
    test_input_required_result_tampered_state test_input_required_result_capabilities test_tool_with_task
    greet slow_compute failing_job protocol_error_job confirm_delete multi_input forecast echo roots forever touch
"""
FORECAST: Json = {"type": "object", "properties": {"city": _STRING, "degrees": _NUMBER}, "required": ["degrees"]}


def _tool(name: str) -> Json:
    tool: Json = {
        "name": name,
        "description": f"Fixture {name.replace('_', ' ')}",
        "inputSchema": _ARGUMENTS.get(name, _NOTHING),
    }
    return {**tool, "outputSchema": FORECAST} if name == "forecast" else tool


TOOLS: list[Json] = [_tool(name) for name in _PLAIN.split()]
SCHEMAS: dict[str, Json] = {tool["name"]: tool["inputSchema"] for tool in TOOLS}


def _prompt(name: str, *arguments: str) -> Json:
    given = [{"name": argument, "description": f"The {argument}", "required": True} for argument in arguments]
    return {"name": name, "description": f"Fixture {name.replace('_', ' ')}", "arguments": given}


PROMPTS: list[Json] = [
    _prompt("test_simple_prompt"),
    _prompt("test_prompt_with_arguments", "arg1", "arg2"),
    _prompt("test_prompt_with_embedded_resource", "resourceUri"),
    _prompt("test_prompt_with_image"),
    _prompt("test_input_required_result_prompt"),
]
CONTENTS: dict[str, Json] = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "watched"},
    "test://example-resource": {"mimeType": "text/plain", "text": "example"},
    "test://big": {"mimeType": "text/plain", "text": "x" * 100_000},
}
RESOURCES: list[Json] = [
    {"uri": uri, "name": uri.removeprefix("test://"), "description": f"Fixture {uri}", "mimeType": content["mimeType"]}
    for uri, content in CONTENTS.items()
]
TEMPLATES: list[Json] = [
    {
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "Data by id",
        "mimeType": "application/json",
    }
]
