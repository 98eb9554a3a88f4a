"""The two lines on top: where we are and whether it works, then what is in force and what is going on."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from mcpwatch.console.fitting import Fact, Piece, fact, fit_line
from mcpwatch.console.host import Host, Panel
from mcpwatch.console.ledger import Ledger, Upstream
from mcpwatch.console.policies import PolicyView
from mcpwatch.console.safe import safe, shorten
from mcpwatch.console.wire import number, table
from mcpwatch.console.wording import age, amount, latency, rate

_EMPTIED_SHOWN_MS = 600_000

_STATES = {
    "ready": ("●", "$success"),
    "starting": ("◌", "$warning"),
    "restarting": ("◌", "$warning"),
    "failed": ("✗", "$error"),
    "stopped": ("■", "$muted"),
}


def state_piece(upstream: Upstream) -> list[Piece]:
    """`● eks ready`, the word left out when it is ready."""
    glyph, style = _STATES.get(upstream.state, ("◌", "$muted"))
    name = shorten(safe(upstream.name), 24)
    word = "" if upstream.state == "ready" else f" {safe(upstream.state, 20) or 'unknown'}"
    return [(f"{glyph} ", style), (name, "bold"), (word, style)]


class HeaderBar(Panel):
    """Two lines, fitted to the width."""

    DEFAULT_CSS = "HeaderBar { height: 2; background: $surface; } HeaderBar > Static { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._first, self._second = Static(markup=False), Static(markup=False)
        self._drawn: tuple[Content, Content] | None = None

    def compose(self) -> ComposeResult:
        return [self._first, self._second]

    def on_resize(self) -> None:
        self.show(self.host.ledger)

    def show(self, ledger: Ledger) -> None:
        width = self.size.width - 1
        if width <= 0:
            return
        lines = fit_line(_place(ledger, self.host), width), fit_line(_figures(ledger, self.host), width)
        if self._drawn is None or not all(a.is_same(b) for a, b in zip(lines, self._drawn, strict=True)):
            self._drawn = lines
            self._first.update(lines[0], layout=False)
            self._second.update(lines[1], layout=False)


def _place(ledger: Ledger, host: Host) -> list[Fact]:
    state = ledger.state
    facts = [fact(90, [(" mcpwatch ", "bold $background on $primary")], [(" mcp ", "bold $background on $primary")])]
    facts.append(_link(ledger, host))
    if state.get("demo"):
        facts.append(fact(85, [(" DEMO ", "bold $background on $accent")]))
    facts.append(_upstreams(ledger))
    url = _endpoint(ledger)
    facts.append(fact(50, url, url.removeprefix("http://"), url.removeprefix("http://127.0.0.1"), style="$muted"))
    facts.append(_default(ledger))
    return facts


def _link(ledger: Ledger, host: Host) -> Fact:
    if not host.linked and not host.link_error:
        return fact(95, "◌ CONNECTING", style="bold $warning")
    if not host.linked:
        return fact(95, "○ NOT CONNECTED", "○ LOST", style="bold $error")
    if ledger.frozen:
        return fact(95, "■ FROZEN", style="bold $decision-hold")
    return fact(95, "● LIVE", style="bold $success")


def _upstreams(ledger: Ledger) -> Fact:
    known = list(ledger.upstreams.values())
    full: list[Piece] = []
    for upstream in known:
        full += [("  ", "")] * bool(full) + state_piece(upstream)
    bad = sum(upstream.state != "ready" for upstream in known)
    short: list[Piece] = [(f"{len(known)} upstreams", "bold"), (f" {bad} not ready" if bad else "", "$warning")]
    return fact(70, full, short if len(known) > 1 else full) if known else Fact(0, ())


def _endpoint(ledger: Ledger) -> str:
    endpoints = table(ledger.connect.get("endpoints")) or table(ledger.state.get("endpoints"))
    url = next(iter(endpoints.values()), "")
    return safe(url, 120) if len(endpoints) <= 1 else safe(url, 120).rsplit("/", 1)[0] + "/…"


def _default(ledger: Ledger) -> Fact:
    if not ledger.state:
        return Fact(0, ())
    defaults = {view.default for view in ledger.policies.values()}
    if not ledger.policies or defaults == {""}:
        return fact(80, "NO POLICY: ALL REFUSED", "NO POLICY", style="bold $error", right=True)
    if defaults == {"deny"}:
        return fact(80, [("default ", "$muted"), ("DENY", "bold $decision-deny")], right=True)
    if "?" in defaults:
        return Fact(0, ())
    word = "ALLOW" if defaults == {"allow"} else "MIXED"
    return fact(80, [("default ", "$muted"), (word, "bold $decision-limit")], right=True)


def _figures(ledger: Ledger, host: Host) -> list[Fact]:
    p95 = ledger.latencies.percentile(ledger.now_ms, 0.95)
    waiting = len(ledger.holds)
    held: list[Piece] = [(f" ? {waiting} WAITING ", "bold $background on $decision-hold")] if waiting else []
    instance = safe(ledger.state.get("instance") or "", 24)
    return [
        _policy(ledger),
        fact(60, [(rate(ledger.rate), "bold")]),
        fact(55, [("p95 ", "$muted"), (latency(p95) if p95 is not None else "–", "bold")]),
        fact(
            65, [(amount(ledger.refused), "bold $decision-deny" if ledger.refused else "bold"), (" refused", "$muted")]
        ),
        fact(95, held, [(f" ?{waiting} ", "bold $background on $decision-hold")] if waiting else ""),
        *_house(ledger, host),
        fact(20, f"instance {instance}", instance, style="$muted", right=True) if instance else Fact(0, ()),
    ]


def _policy(ledger: Ledger) -> Fact:
    views = list(ledger.policies.values())
    if not ledger.state:
        return fact(75, " waiting for the gateway", style="$muted")
    if not views:
        return fact(75, " no policy", style="$error")
    newest = max(views, key=lambda view: view.installed_at_ms)
    since = age(ledger.now_ms - newest.installed_at_ms) if newest.installed_at_ms else ""
    name: Piece = (newest.digest[:7] or "none", "bold")
    mark: Piece = (" ✗ file broken", "bold $error") if any(view.error for view in views) else (" ✓", "$success")
    many: Piece = (f" +{len(views) - 1}", "$muted") if len(views) > 1 else ("", "")
    ago: Piece = (f" {since} ago", "$muted") if since else ("", "")
    return fact(75, [(" policy ", "$muted"), name, mark, many, ago], [(" policy ", "$muted"), name, mark], [name, mark])


def _house(ledger: Ledger, host: Host) -> list[Fact]:
    state = ledger.state
    consoles = int(number(state.get("consoles")))
    facts: list[Fact] = []
    if host.read_only:
        facts.append(fact(68, "READ-ONLY", style="bold $accent", right=True))
    if ledger.dropped + ledger.unread:
        facts.append(fact(45, f"{amount(ledger.dropped + ledger.unread)} not shown", style="$warning", right=True))
    if consoles:
        word = "console" if consoles == 1 else "consoles"
        facts.append(fact(30, f"{consoles} {word}", style="$muted", right=True))
    audit = table(state.get("audit"))
    durability = str(audit.get("durability") or "")
    if "rows" in audit:
        facts.append(fact(25, f"audit {amount(number(audit['rows']))}", style="$muted", right=True))
    store = str(table(state.get("counter_store")).get("store") or "")
    if "://" in store:
        kind = safe(store.partition("://")[0], 10)
        facts.append(fact(27, f"counters {kind}", style="$muted", right=True))
    if durability:
        facts.append(fact(28, f"sync {safe(durability, 10)}", style="$muted", right=True))
    return facts


class Banner(Panel):
    """What the operator must know now, a line each; gone when all is well."""

    DEFAULT_CSS = "Banner { height: auto; max-height: 6; display: none; }"

    def __init__(self) -> None:
        super().__init__()
        self._text = Static(markup=False)
        self._drawn = ""

    def compose(self) -> ComposeResult:
        return [self._text]

    def on_resize(self) -> None:
        self.show(self.host.ledger)

    def show(self, ledger: Ledger) -> None:
        lines = banner_lines(ledger, self.host)
        drawn = repr((lines, self.screen.size.width))
        if drawn != self._drawn:
            self._drawn = drawn
            self.display = bool(lines)
            rows = [row for text, style in lines for row in _filled(text, style, self.screen.size.width)]
            self._text.update(Content("\n").join(rows))


def _filled(text: str, style: str, width: int) -> list[Content]:
    """An alarm over the whole width, wrapped when it is longer."""
    rows = Content(text).wrap(max(10, width - 2))
    return [Content(" " + row.plain).pad_right(max(0, width - 1 - row.cell_length)).stylize(style) for row in rows]


def banner_lines(ledger: Ledger, host: Host) -> list[Piece]:
    """(safe text, style) of every alarm, worst first."""
    lines: list[Piece] = []
    alarm, warn = "bold $background on $error", "$background on $warning"
    if not host.linked and host.link_error:
        lines.append(
            (
                f"✗ No connection to the gateway: {safe(host.link_error, 200)}. Trying again; what is shown is old.",
                alarm,
            )
        )
    if ledger.audit_state != "ok":
        lines.append(
            (
                f"✗ The audit {safe(ledger.audit_state, 20)}, every call is refused: {safe(ledger.audit_error, 300)}",
                alarm,
            )
        )
    if ledger.counters_error:
        lines.append((f"✗ The counters failed, limited calls are refused: {safe(ledger.counters_error, 300)}", alarm))
    elif ledger.now_ms - ledger.counters_emptied_ms < _EMPTIED_SHOWN_MS:
        ago = age(ledger.now_ms - ledger.counters_emptied_ms)
        lines.append((f"! The counters were emptied {ago} ago: every limit counts from zero since.", warn))
    for view in ledger.policies.values():
        if view.error:
            lines.append((f"✗ {_place_in(view)}  (the last good policy stays in force)", alarm))
    for label, fault in ledger.grant_faults.items():
        lines.append((f"✗ {safe(fault, 400)}  (the policy of the grant {safe(label, 40)}, not taken)", alarm))
    for upstream in ledger.upstreams.values():
        if upstream.state in ("failed", "restarting") and upstream.error:
            remedy = f"  → {safe(upstream.remedy, 200)}" if upstream.remedy else ""
            text = f"✗ {safe(upstream.name, 40)} {safe(upstream.state, 20)}: {safe(upstream.error, 300)}{remedy}"
            lines.append((text, warn))
    if ledger.frozen:
        lines.append((f"■ Frozen by an operator: {_scopes(ledger)}. Calls are refused until F thaws.", warn))
    return lines


def _scopes(ledger: Ledger) -> str:
    if "*" in ledger.frozen:
        return "everything"
    return safe(", ".join(scope.replace(":", " ", 1) for scope in sorted(ledger.frozen)), 200)


def _place_in(view: PolicyView) -> str:
    """The error with the file's name alone: the folder is told by `status` and the policy screen."""
    return safe(view.error.replace(view.file, view.file.rsplit("/", 1)[-1], 1), 400)
