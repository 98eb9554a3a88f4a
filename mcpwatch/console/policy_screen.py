"""The policy of an upstream as text: looked at, edited with its faults in view, tried on recorded calls, saved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from textual import on, work
from textual.binding import Binding
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static, TextArea

from mcpwatch.console import policy_flows
from mcpwatch.console.changes import Change, change_of, entry_of, limit_change, owned_limit
from mcpwatch.console.dialogs import Prompt
from mcpwatch.console.draft import Draft, read_draft, tool_at
from mcpwatch.console.draw import title
from mcpwatch.console.editor import PolicyEditor, plain_lines
from mcpwatch.console.fitting import fact, fit_line
from mcpwatch.console.footer import FooterBar
from mcpwatch.console.history import HistoryDialog
from mcpwatch.console.host import app_of, host
from mcpwatch.console.keys import BY_ID, bindings
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.orders import EditKind, QuickEdit
from mcpwatch.console.policies import PolicyView
from mcpwatch.console.policy_side import PolicySide, ProblemList
from mcpwatch.console.safe import safe, shorten
from mcpwatch.console.seat import Seat
from mcpwatch.console.toolbook import ToolLine, line_of
from mcpwatch.console.whatif import in_words
from mcpwatch.console.wire import tables
from mcpwatch.errors import ConfigError
from mcpwatch.policy.names import compile_pattern, pointer_part
from mcpwatch.policy.values import PolicyError

_SETTLED_S = 0.15
_TRIED_S = 0.6
_VIEWING = ("edit", "save", "problem", "history", "undo", "other")
_EDITING = ("back", "save")


class PolicyScreen(Seat):
    """Editor on the left, what it means on the right (below, on a narrow terminal)."""

    seat = "policy"
    footer = _VIEWING
    BINDINGS = [  # noqa: RUF012 (Textual reads it from the class)
        *bindings(("edit", "save", "problem", "history", "other", "allow", "deny", "hide", "approval", "limit")),
        Binding(BY_ID["back"].keys, "back", BY_ID["back"].label, id="back", show=False, priority=True),
    ]

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._upstream = ""
        self._base = PolicyView("")
        self._seen: tuple[str, str] | None = None
        self._outside = ""
        self._loaded = ""
        self._draft = Draft("", None, ())
        self._words: list[str] = []
        self._summary = ""
        self._worn = 0
        self._timer: Timer | None = None
        self._title = Static(markup=False, id="policy-title")
        self.editor = PolicyEditor(id="main")
        self._side = PolicySide(id="policy-side")

    def body(self) -> Iterable[Widget]:
        yield self._title
        yield Horizontal(self.editor, self._side, id="policy")

    @property
    def settled(self) -> bool:
        """Whether the faults shown are those of the text as it is."""
        return self._base.upstream == self._upstream != "" and self._draft.text == self.editor.text

    @property
    def dirty(self) -> bool:
        """Whether the editor has what the file has not."""
        return self.editor.text != self._loaded

    @property
    def unsaved(self) -> str:
        return self._upstream if self.dirty else ""

    def upstream_in_view(self) -> str:
        return self._upstream

    def on_mount(self) -> None:
        self._wear()

    def look_changed(self) -> None:
        self._wear()
        super().look_changed()

    def show(self, ledger: Ledger) -> None:
        super().show(ledger)
        if not self._upstream:
            self._upstream = next(iter(ledger.policies), "")
        known = ledger.policies.get(self._upstream)
        seen = (known.digest, known.error) if known is not None else None
        if seen is not None and seen != self._seen:
            self._seen = seen
            self._look()

    def goto_rule(self, upstream: str, rule: str, tool: str) -> None:
        """Put the cursor on a rule, or on the tool's entry when the rule is nowhere in the text."""
        if upstream != self._upstream and self.dirty:
            self._first_save()
            return
        if upstream in self._ledger.policies and upstream != self._upstream:
            self._turn_to(upstream)
        self._goto_later(rule, tool)

    def action_edit(self) -> None:
        """Letters are text from now on, until escape."""
        if self._may_edit() and self.editor.read_only:
            self.editor.read_only = False
            self.editor.tab_behavior = "indent"
            self.editor.focus()
            self._tell()

    def action_back(self) -> None:
        """End editing; the text stays as it is, saved or not."""
        if not self.editor.read_only:
            self.editor.read_only = True
            self.editor.tab_behavior = "focus"
            self.editor.suggestion = ""
        self.editor.focus()
        self._tell()

    def action_problem(self) -> None:
        """Go to the next fault or remark below the cursor, round to the first."""
        problems = sorted(self._draft.problems, key=lambda problem: (problem.line, problem.column))
        if not problems:
            host(self).say("No faults, no remarks")
            return
        row, column = self.editor.cursor_location
        later = [each for each in problems if (each.line - 1, each.column - 1) > (row, column)]
        self._visit(*((later or problems)[0].line, (later or problems)[0].column))

    def action_other(self) -> None:
        """The policy of the next upstream."""
        names = list(self._ledger.policies)
        if self.dirty:
            self._first_save()
        elif len(names) > 1:
            here = names.index(self._upstream) if self._upstream in names else -1
            self._turn_to(names[(here + 1) % len(names)])
        else:
            host(self).say("There is only one upstream")

    @work(exclusive=True, group="policy")
    async def action_save(self) -> None:
        """Show what changes and what it would have done; then write the file."""
        if not self.dirty:
            host(self).say("Nothing to save")
            return
        change = Change(f"Save the policy of {self._upstream}", self._base.text, self.editor.text)
        if await policy_flows.save(app_of(self), host(self), self._base, change):
            self._outside = ""
            await self._reread()

    @work(exclusive=True, group="policy")
    async def action_history(self) -> None:
        """Choose a policy that was in force; it comes into the editor, to be saved or not."""
        try:
            past = tables((await host(self).desk.history(self._upstream)).get("policies"))
        except ConfigError as fault:
            host(self).say(fault.message, error=True)
            return
        chosen = await app_of(self).push_screen_wait(HistoryDialog(past, self._base.digest))
        if chosen is not None and chosen.get("text") and self._may_edit():
            self.editor.change_to(str(chosen["text"]))

    @work(exclusive=True, group="policy")
    async def action_quick(self, kind: EditKind) -> None:
        """Change the entry of the tool under the cursor in the text; nothing is saved yet."""
        document = self._draft.document
        tool = self._tool_name()
        if document is None or not tool:
            host(self).say("Put the cursor on a tool first" if document is not None else "Mend the faults first")
            return
        if not self._may_edit():
            return
        try:
            if kind == "limit":
                change = await self._ask_limit(tool)
            else:
                change = change_of(QuickEdit(kind, self._upstream, tool), self.editor.text, document)
        except ValueError as fault:
            host(self).say(policy_flows.sentence(str(fault)), error=True)
            return
        if change is not None:
            self.editor.change_to(change.after)

    @on(TextArea.Changed)
    def _typed(self) -> None:
        self._settle()

    @on(TextArea.SelectionChanged)
    def _moved(self) -> None:
        self._tell()

    @on(ProblemList.Chosen)
    def _chosen(self, event: ProblemList.Chosen) -> None:
        self._visit(event.problem.line, event.problem.column)

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_SETTLED_S, self._judge)
        self._tell_title()

    @work(exclusive=True, group="judge")
    async def _judge(self) -> None:
        text = self.editor.text
        offered = self._ledger.upstreams.get(self._upstream)
        tools = list(offered.tools) if offered is not None else []
        self.editor.tool_names = [str(tool.get("name", "")) for tool in tools]
        if self._outside and not self.dirty:
            self._look()
        self._draft = await asyncio.to_thread(read_draft, text, self._base.file, tools)
        self.editor.mark(self._draft.problems)
        changed = self.dirty and self._draft.document is not None
        self._words = await asyncio.to_thread(in_words, self._base.text, text) if changed else []
        if not changed:
            self._summary = ""
        self._tell()
        if changed:
            await asyncio.sleep(_TRIED_S)
            await self._try(text)

    async def _try(self, text: str) -> None:
        try:
            self._summary = (await policy_flows.consequences(host(self), self._upstream, self._base.text, text)).summary
        except PolicyError:
            return
        self._tell()

    @work(exclusive=True, group="outside")
    async def _look(self) -> None:
        view = await policy_flows.current(host(self), self._upstream)
        if view is None:
            return
        if not self._base.upstream or self._base.upstream != view.upstream:
            self._base, self._outside, self._summary = view, "", ""
            self.editor.yaml = view.file.endswith((".yaml", ".yml"))
            self.editor.load_text(view.text)
            self._loaded = self.editor.text
        elif plain_lines(view.text) == plain_lines(self.editor.text):
            self._base, self._outside, self._loaded = view, "", self.editor.text
        elif not self.dirty:
            self._take(view)
        elif view.file_digest != self._base.file_digest:
            self._outside = "CHANGED OUTSIDE"
            host(self).say("The file was changed outside meanwhile; ^s shows how before anything is written")
        self._settle()

    def _take(self, view: PolicyView) -> None:
        """The file has another text, and nothing here is lost by showing it."""
        known = self._ledger.policies.get(self._upstream)
        who = known.by if known is not None and known.digest == view.file_digest else ""
        self._base, self._outside = view, ""
        self.editor.change_to(view.text)
        self.editor.history.clear()
        self._loaded = self.editor.text
        host(self).say(f"Changed by {safe(who or 'somebody', 40)}; this is the new text")

    async def _reread(self) -> None:
        view = await policy_flows.current(host(self), self._upstream)
        if view is not None:
            self._base = view
            if plain_lines(view.text) == plain_lines(self.editor.text):
                self._loaded = self.editor.text
        self._settle()

    @work(exclusive=True, group="goto")
    async def _goto_later(self, rule: str, tool: str) -> None:
        for _ in range(100):
            if self._base.text and self.settled:
                break
            await asyncio.sleep(0.02)
        line = self._line_of(rule, tool)
        if line:
            self._visit(line, 1)
        else:
            host(self).say("The text does not tell where that rule stands")

    def _line_of(self, rule: str, tool: str) -> int:
        """Where a rule stands in the text as it is now, else what bears on the tool; 0 when nothing can be told."""
        document = self._draft.document
        if document is None:
            return self._base.line_of(rule)
        text = plain_lines(self.editor.text)
        view = PolicyView(self._upstream, self._base.file, text, document=document)
        entry = entry_of(document, tool)
        hidden = any(compile_pattern(name)(tool) for name in document.hide)
        places = (rule, f"/tools/{pointer_part(entry.name)}" if entry else "", "(hidden)" if hidden else "")
        return next((line for place in (*places, "(default deny)") if place and (line := view.line_of(place))), 0)

    def _may_edit(self) -> bool:
        if not host(self).may_change():
            return False
        whole = plain_lines(self._base.text) == plain_lines(self._loaded)
        if not whole:
            host(self).say("The file has line separators that this editor cannot keep (U+2028, U+0085 …)", error=True)
        return whole

    def _first_save(self) -> None:
        host(self).say("Save or take back the changes first (^s, ^z)", error=True)

    def _turn_to(self, upstream: str) -> None:
        self._upstream, self._seen = upstream, None
        self.show(self._ledger)

    async def _ask_limit(self, tool: str) -> Change | None:
        document = self._draft.document
        assert document is not None
        found = owned_limit(document, tool, "")
        start = str(found[1].max) if found else "10"
        typed = await app_of(self).push_screen_wait(Prompt(f"LIMIT  {safe(tool, 60)}", start, "a whole number"))
        if typed is None:
            return None
        most = policy_flows.whole_number(typed)
        return limit_change(self.editor.text, document, tool, found[1].counter if found else "", most)

    def _tool_name(self) -> str:
        if self._draft.document is None:
            return ""
        return tool_at(self._draft.document, self.editor.cursor_location[0] + 1)

    def _tool(self) -> ToolLine | None:
        name, offered = self._tool_name(), self._ledger.upstreams.get(self._upstream)
        if not name or offered is None:
            return None
        return line_of(self._ledger, offered, PolicyView(self._upstream, document=self._draft.document), name)

    def _visit(self, line: int, column: int) -> None:
        self.editor.goto(line, column)
        self.editor.focus()

    def _wear(self) -> None:
        self._worn += 1
        self.editor.wear(host(self).look, self._worn)

    def _tell(self) -> None:
        self._tell_title()
        self._side.tell(self._draft, self._tool(), self._words, self._summary)

    def _tell_title(self) -> None:
        row, column = self.editor.cursor_location
        viewing = self.editor.read_only
        name = shorten(safe(self._base.file.rsplit("/", 1)[-1], 60), 30)
        facts = [
            fact(90, self._outside),
            fact(50, name),
            fact(60, safe(self._upstream, 30) if len(self._ledger.policies) > 1 else ""),
            fact(70, "viewing, enter edits" if viewing else "EDITING, esc ends", "viewing" if viewing else "EDITING"),
            fact(80, "NOT SAVED, ^s saves" if self.dirty else "saved", "NOT SAVED" if self.dirty else "saved"),
            fact(40, f"line {row + 1}:{column + 1}", f"{row + 1}:{column + 1}"),
        ]
        line = fit_line(facts, max(0, self.size.width - 9)).plain.rstrip()
        self._title.update(title("POLICY", line, self.size.width, focused=True))
        for footer in self.query(FooterBar):  # none any more when an answer comes while the console ends
            footer.offer(_VIEWING if viewing else _EDITING)
