"""Write docs/reference from the code itself: no list in it is kept by hand.

python docs/generate.py            writes the pages
python docs/generate.py --check    says which pages differ, and exits 1 if any does
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections.abc import Iterator
from enum import Enum
from functools import cache
from inspect import cleandoc, get_annotations, getdoc, getsource, signature
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import typer

from mtquant import errors, model
from mtquant.cli import app
from mtquant.config import Config
from mtquant.contract import AgentBudget, Broker, Plugin, Settings, parameters, tools_of
from mtquant.decide import EQUITY_MAX_AGE_S
from mtquant.hooks import HOOKS, KINDS
from mtquant.plugins import Catalogue, load_catalogue
from mtquant.risk import BreakerRules, gate
from mtquant.risk import agents as risk_agents
from mtquant.risk.breaker import PROBATION_S

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
FIRST_PARTY = {"mtquant", "mtquant-paper-server"}
NOTE = "<!-- Written by docs/generate.py; change the code, not this page. -->\n\n"


def text(value: object) -> str:
    """Return a docstring for Markdown: code in single backquotes, roles without their marks."""
    found = re.sub(
        r":(?:meth|attr|class|mod|func):`~?\.?([^`]+)`", r"``\1``", cleandoc(str(value or ""))
    )
    return found.replace("``", "`").replace("::\n", ":\n")


def row(*cells: object) -> str:
    return (
        "| " + " | ".join(str(each).replace("|", "\\|").replace("\n", " ") for each in cells) + " |"
    )


def table(*heads: str) -> list[str]:
    return [row(*heads), row(*("---" for _ in heads))]


def settings_table(settings: type[Any]) -> list[str]:
    found = parameters(settings)
    if not found:
        return ["It has no settings."]
    lines = table("Setting", "Type", "Default", "Bounds")
    for each in found:
        default = "required" if each.required else shown(each.default)
        lines.append(row(f"`{each.name}`", each.kind, default, each.bounds.replace("<", "&lt;")))
    return lines


def shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, Settings):
        return "its own defaults"
    return "empty" if value in ((), {}, "") else f"`{value}`"


# --- commands ------------------------------------------------------------------------------------


def commands() -> str:
    root = typer.main.get_command(app)
    lines = [
        "# Commands\n",
        "Exit codes, unless a command says otherwise: 0 done; 1 it ended, and something is not as "
        "it should be (an order vetoed, the books differ); 2 a wrong setting or argument, a missing "
        "plugin, or a journal that can't be used.\n",
        "`mtquant --install-completion` installs completion for your shell. Colours are off where "
        "the output is piped. `mtquant --profile NAME COMMAND` lays a profile of the configuration "
        "over it.\n",
    ]
    for name, command in walk(root, "mtquant"):
        lines += command_lines(name, command)
    return "\n".join(lines)


def walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:  # it does something itself, too
                yield f"{path} {name}", command
            yield from walk(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def command_lines(name: str, command: Any) -> list[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## {name}\n", text(command.help), "", f"```text\n{name} {usage}\n```", ""]
    options = [each for each in command.params if each.name != "help"]
    if options:
        lines += table("Argument or option", "Meaning", "Default")
        for each in options:
            names = ", ".join(f"`{part}`" for part in each.opts) if each.opts else each.name
            if each.param_type_name == "argument":
                names = f"`{each.name.upper()}`"
            default = "required" if each.required else shown_default(each)
            lines.append(row(names, getattr(each, "help", "") or "", default))
        lines.append("")
    if command.epilog:
        lines += [f"Example: `{command.epilog.removeprefix('Example: ')}`\n"]
    return lines


def shown_default(parameter: Any) -> str:
    default = parameter.default
    return "" if default in (None, "", False, ()) or callable(default) else f"`{default}`"


# --- settings ------------------------------------------------------------------------------------


def settings(catalogue: Catalogue) -> str:
    lines = [
        "# Settings\n",
        "One TOML file, `mtquant.toml` unless told otherwise. `mtquant config check` validates it, "
        "`mtquant config show` prints it with its defaults. `mtquant plugins KIND NAME` prints what "
        "follows for one plugin on your machine.\n",
        "A secret is never written into it: `env:NAME`, `file:PATH` (readable by its owner alone) "
        "or `keyring:SERVICE/NAME` says where it is.\n",
        "`[profile.NAME]` holds tables that are laid over the others with `mtquant --profile NAME`, "
        "or the environment variable `MTQUANT_PROFILE`; `mtquant run --set KEY=VALUE` changes one "
        "key for one run.\n",
    ]
    for key, field in Config.model_fields.items():
        lines += config_table(key, field.annotation)
    for kind in KINDS:
        lines.append(f"## Settings of {kind} plugins\n")
        for name, plugin in mine(catalogue, kind):
            lines += [f"### {kind} `{name}`\n", text(getdoc(plugin)), ""]
            lines += [*settings_table(plugin.Settings), "", text(getdoc(plugin.Settings)), ""]
    return "\n".join(lines)


def mine(catalogue: Catalogue, kind: str) -> Iterator[tuple[str, type[Plugin[Any]]]]:
    for each in catalogue.listings:
        if each.kind == kind and not each.problem and each.distribution in FIRST_PARTY:
            yield each.name, catalogue.get(kind, each.name)


def config_table(key: str, annotation: Any) -> list[str]:
    kind = next(tables_in(annotation), None)
    if kind is None:
        return [f"## `[{key}.NAME]`\n", f"The {key[:-1]} plugin NAME, with its settings.\n"]
    many = annotation is not kind
    title = f"[{key}.NAME]" if many else f"[{key}]"
    return [f"## `{title}`\n", text(getdoc(kind)), "", *settings_table(kind), ""]


def tables_in(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from tables_in(inner)


# --- hooks, contract, errors ---------------------------------------------------------------------


def hooks() -> str:
    lines = [
        "# Hooks\n",
        "A package names a module under the entry point group `mtquant`; the module implements any "
        "of these hooks, each returning the plugin classes it brings. Import inside the hook: "
        "listing plugins then costs nothing. `mtquant new KIND NAME` writes such a package.\n",
    ]
    for kind, hook in HOOKS.items():
        base = KINDS[kind]
        lines += [f"## `{hook}`\n", f"Returns classes derived from `{base.__name__}`.\n"]
        lines += [text(getdoc(base)), ""]
        for name in members(base):
            member = getattr(base, name)
            must = " (must)" if name in getattr(base, "__abstractmethods__", ()) else ""
            called = "" if isinstance(member, property) else str(signature(member))
            lines += [f"- `{name}{called}`{must}: {text(getdoc(member)).splitlines()[0]}"]
        lines.append("")
    return "\n".join(lines)


def members(base: type[Any]) -> list[str]:
    return [
        name
        for name, value in vars(base).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, property))
    ]


def contract() -> str:
    lines = [
        "# The broker contract\n",
        "What an MCP server of a broker offers. Scopes: `read`, `reduce` (cancel, close, protect) "
        "and `trade`. Quantities are in base units, prices in the quote currency, both decimal "
        "strings; times are RFC 3339.\n",
        "## Tools\n",
    ]
    for name, each in tools_of(Broker).items():
        method = getattr(Broker, name)
        called = str(signature(method)).replace("self, ", "").replace("(self)", "()")
        lines += [f"### `{name}`\n", f"Scope `{each.scope.value}`. {text(getdoc(method))}", ""]
        lines += [f"```text\n{called}\n```", ""]
    lines.append("## Types\n")
    for name in sorted(model.__all__):
        kind = getattr(model, name)
        if isinstance(kind, type) and (fields := fields_of(kind)):
            lines += [f"### {name}\n", text(getdoc(kind)), ""]
            lines += table("Field", "Type")
            lines += [row(f"`{field}`", f"`{of}`") for field, of in fields.items()]
            lines.append("")
        elif isinstance(kind, type) and issubclass(kind, Enum):
            values = ", ".join(f"`{each.value}`" for each in kind)
            lines += [f"### {name}\n", text(getdoc(kind)), "", f"One of {values}.\n"]
    return "\n".join(lines)


def fields_of(kind: type) -> dict[str, str]:
    """Return the fields of a dataclass or a named tuple, with their types as they are written."""
    if issubclass(kind, tuple):
        return {
            name: getattr(of, "__forward_arg__", str(of))
            for name, of in get_annotations(kind).items()
        }
    known = getattr(kind, "__dataclass_fields__", {})
    return {field.name: str(field.type) for field in known.values()}


CODES = {
    "invalid_argument": "an argument is wrong; `field` names it",
    "unknown_instrument": "the broker has no such instrument; the message names the nearest",
    "ambiguous_instrument": "several instruments are meant",
    "invalid_quantity": "off the step, below the minimum or above the maximum",
    "invalid_price": "off the price step, or too near to the market",
    "unsupported": "the server doesn't offer this tool, order type or field",
    "market_closed": "the instrument's session is closed",
    "no_price": "there is no price to trade at",
    "insufficient_margin": "the account can't carry the order",
    "risk_denied": "a last-line limit of the server refused it",
    "approval_required": "a person has to approve it first",
    "approval_expired": "the approval came too late",
    "trading_halted": "trading is off at the server",
    "read_only": "the server doesn't trade: it wasn't switched on, or for another account",
    "rate_limited": "too many calls; `retry_after_s` says when to come again",
    "not_connected": "the venue can't be reached; nothing was sent",
    "auth_failed": "the venue doesn't accept the credentials",
    "broker_rejected": "the venue refused; its own words are in `broker`",
    "outcome_unknown": "it may or may not have happened: look it up, never send it again",
    "duplicate_mismatch": "the client order id was used for another order",
    "not_found": "there is no such order or position",
    "conflict": "it can't be done in the present state",
    "internal": "a fault of the server",
}


def error_codes() -> str:
    lines = [
        "# Errors\n",
        "## Classes\n",
        f"```text\n{cleandoc(errors.__doc__ or '').split('.', 1)[1].strip()}\n```",
        "",
    ]
    lines += ["## Codes of a broker's server\n", *table("Code", "Meaning")]
    lines += [row(f"`{each.value}`", CODES[each.value]) for each in errors.ErrorCode]
    for kind in (errors.Outcome, errors.Retry):
        values = ", ".join(f"`{each.value}`" for each in kind)
        lines += ["", f"## {kind.__name__}\n", f"{text(getdoc(kind))} One of {values}.\n"]
    lines += [
        "",
        "## Codes of the risk gate\n",
        "Every veto has one, in the journal and in what is told.\n",
    ]
    lines += table("Code", "The message")
    lines += [row(f"`{code}`", message) for code, message in sorted(vetoes().items())]
    return "\n".join(lines) + "\n"


def vetoes() -> dict[str, str]:
    """Return each code that the gate or a first-party check gives, with its message's pattern."""
    found: dict[str, str] = {}
    folders = [ROOT / "core" / "mtquant" / "risk", ROOT / "plugins" / "risk" / "mtquant_risk"]
    for path in sorted(file for folder in folders for file in folder.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for code, message in refusals(function):
                    found.setdefault(code, message)
    found["check_failed"] = "a check raised, or answered nonsense: that is a veto"
    found["external_position"] = "the account holds what isn't the strategies'"
    found["manual_mode"] = "the strategy's mode is manual: its signals are told only"
    found["reducing"] = "(an approval) a reducing order is not asked about new exposure"
    found["warned"] = "(a reduction) the loss breaker warns: a part of the usual size"
    return found


def refusals(function: ast.FunctionDef) -> list[tuple[str, str]]:
    """Return the codes that ``function`` refuses with, each with its message's pattern."""
    said = sorted(
        (
            (node.lineno, target.id, node.value)
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ),
        key=lambda each: each[0],
    )
    found: list[tuple[str, str]] = []
    for node in ast.walk(function):
        called = getattr(node, "func", None)
        name = getattr(called, "id", getattr(called, "attr", ""))
        if not isinstance(node, ast.Call) or name not in {
            "Vetoed",
            "veto",
            "_veto",
            "reduce",
            "_over",
        }:
            continue
        if node.args and isinstance(node.args[0], ast.Starred):
            found += gate.BREAKER_VETOES.values()  # the one table that is raised from
            continue
        first, *others = node.args or [ast.Constant(None)]
        if name == "_over":
            message: ast.expr = ast.Constant("… may hold … …, … times the equity, not …")
        elif others:
            message = others[1] if name == "reduce" else others[0]
        if isinstance(message, ast.Name):
            # The last that was said before: one name may stand for several sentences.
            before = [value for line, of, value in said if of == message.id and line < node.lineno]
            message = before[-1] if before else message
        found += [(code, pattern(message)) for code in written(first, function)]
    return found


def written(code: ast.expr, function: ast.FunctionDef) -> list[str]:
    """Return a code as it is written; ``throttle_{title}`` once for each title that is listed."""
    if isinstance(code, ast.Constant) and isinstance(code.value, str):
        return [code.value]
    if not isinstance(code, ast.JoinedStr):
        return []
    start = next((str(each.value) for each in code.values if isinstance(each, ast.Constant)), "")
    return [f"{start}{title}" for title in windows(function)]


def windows(function: ast.FunctionDef) -> list[str]:
    """Return the first words of the rows that ``function`` lists: second, minute, day."""
    return [
        first.value
        for node in ast.walk(function)
        if isinstance(node, ast.Tuple) and node.elts[2:]
        for first in node.elts[:1]
        if isinstance(first, ast.Constant) and isinstance(first.value, str)
    ]


def pattern(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        parts = (str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
        return "".join(parts)
    return str(node.value) if isinstance(node, ast.Constant) else "as its check says"


# --- limits --------------------------------------------------------------------------------------


MEANINGS = {
    "breaker.warn_at": "the loss at which it is WARNED",
    "breaker.reduce_at": "the loss at which it is REDUCING",
    "breaker.halt_at": "the loss at which it is HALTED",
    "breaker.warn_clears_under": "WARNED clears under this loss",
    "breaker.warn_clears_after_s": "for how many seconds the loss must stay there",
    "breaker.reduce_clears_under": "a new day that finds the loss under this lowers REDUCING to "
    "WARNED",
    "breaker.warned_size": "the part of its usual size that a strategy's order has while WARNED",
    "breaker.roll_zone": "the IANA time zone in which the trading day starts",
    "breaker.roll_time": "when it starts there",
    "breaker.day_loss_limit": "the loss since the start of the day that comes to REDUCING",
    "breaker.week_loss_limit": "the loss since the start of the week that comes to REDUCING",
    "breaker.max_drawdown": "the loss from the highest equity that comes to HALTED",
    "notional.max_order": "the notional value of one order, as a multiple of equity",
    "notional.max_gross": "that of all that is held and works, longs and shorts added up",
    "price_collar.fraction": "how far from the middle of the market an order may fill, as a part "
    "of the price",
    "price_collar.spreads": "the same, as so many spreads; the larger of the two counts",
    "throttle.per_second": "how many messages may be sent to one account in a second",
    "throttle.per_minute": "in a minute",
    "throttle.per_day": "in a day",
    "repeated_order.window_s": "the window, in seconds",
    "budgets.of.NAME.max_order": "the notional value of one order, as a multiple of equity",
    "budgets.of.NAME.max_gross": "that of all that its orders have opened and may open",
    "budgets.of.NAME.per_minute": "how many orders it may send to one account in a minute",
    "budgets.of.NAME.per_day": "in a day",
    "budgets.others": "the same settings for everybody who has no budget",
    "approval.expires_s": "how many seconds a suggestion waits for you",
    "approval.max_drift": "how far the price may move meanwhile, as a part of it",
    "market.stale_s": "how many seconds old the newest quote of a symbol may be, or nothing is "
    "opened in it; 0 is never",
}
"""What settings mean whose own docstring doesn't say it one by one."""


def limits(catalogue: Catalogue) -> str:
    lines = [
        "# Limits\n",
        "Every limit of the risk manager, with the value it has if you set nothing. "
        "[Safety](../safety.md) says how they work together. Fractions are of equity or of the "
        "price: `0.05` is 5 %. Quantities are in base units.\n",
        "## Checks\n",
        "Set under `[risk.checks.NAME]`: `notional.max_gross` is `max_gross` in "
        "`[risk.checks.notional]`. `NAME = false` in `[risk.checks]` switches one off. They are "
        "asked in this order, after the gate itself has refused what can't be an order or has no "
        f"price: {', '.join(f'`{code}`' for code in sorted(set(calls(gate)[1])))}. `check_failed` "
        "is a check or sizer that raised, or answered nonsense.\n",
        *table("Setting", "Meaning", "Default", "Bounds", "Codes of its vetoes"),
    ]
    for name in catalogue.in_order("check"):
        plugin = catalogue.get("check", name)
        if (name, plugin) in mine(catalogue, "check"):
            codes = ", ".join(f"`{code}`" for code in codes_of(plugin))
            for path, each, meaning in limit_rows(name, plugin.Settings):
                lines.append(row(f"`{path}`", meaning, *figures(each), codes))
                codes = ""
    lines += [
        "",
        "## The loss breaker\n",
        "Set under `[risk.breaker]`. It refuses with `reducing_only` and `trading_halted`; "
        f"equity older than {EQUITY_MAX_AGE_S} seconds counts as REDUCING. After a reset an "
        f"account stays WARNED for {PROBATION_S // 3600} hours.\n",
        *table("Setting", "Meaning", "Default", "Bounds"),
    ]
    for path, each, meaning in limit_rows("breaker", BreakerRules):
        name = path.removeprefix("breaker.")
        lines.append(row(f"`{name}`", meaning, *figures(each)))
    lines += [
        "",
        "## Agents\n",
        "What each may do is set with `mtquant agents`; what isn't given is nothing. An agent's order "
        "is asked about its budget before every check: "
        f"{', '.join(f'`{code}`' for code in agent_codes())}.\n",
        *table("Budget", "Meaning", "Default", "Bounds"),
        *(
            row(f"`{each.name}`", meaning_of(each.name, AgentBudget), *figures(each))
            for each in parameters(AgentBudget)
        ),
    ]
    lines += ["", "## Sizers\n", "One of them, set under `[risk.sizer]` with its `plugin`.\n"]
    lines += table("Setting", "Meaning", "Default", "Bounds", "Codes of its vetoes")
    shared: dict[str, str] = {}
    for name, plugin in mine(catalogue, "sizer"):
        codes = ", ".join(f"`{code}`" for code in codes_of(plugin))
        for path, each, meaning in limit_rows(name, plugin.Settings):
            if each.name not in vars(plugin.Settings)["__annotations__"]:
                every = row(f"every sizer: `{each.name}`", meaning, *figures(each), "")
                shared[each.name] = every
                continue
            lines.append(row(f"`{path}`", meaning, *figures(each), codes))
            codes = ""
    lines += [*shared.values(), "", "## Approval and prices\n"]
    lines += table("Setting", "Meaning", "Default", "Bounds")
    for path in ("approval.expires_s", "approval.max_drift", "market.stale_s"):
        key, name = path.split(".")
        (kind,) = tables_in(Config.model_fields[key].annotation)
        lines += [
            row(f"`{path}`", MEANINGS[path], *figures(each))
            for each in parameters(kind)
            if each.name == name
        ]
    return "\n".join(lines)


def agent_codes() -> list[str]:
    """Return the codes that an agent's budget vetoes or reduces with."""
    tree = ast.parse(Path(risk_agents.__file__).read_text(encoding="utf-8"))
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    return sorted({code for each in functions for code, _ in refusals(each)})


def limit_rows(name: str, settings: type[Any]) -> Iterator[tuple[str, Any, str]]:
    """Yield each setting's path, declaration and meaning; a table of tables by its own settings."""
    for each in parameters(settings):
        path = f"{name}.{each.name}"
        inner = next(tables_in(settings.model_fields[each.name].annotation), None)
        if inner is not None and each.default == {}:
            yield from limit_rows(f"{path}.NAME", inner)
        else:
            yield path, each, MEANINGS.get(path) or meaning_of(each.name, settings)


def meaning_of(name: str, settings: type[Any]) -> str:
    """Return what the docstring of ``settings`` says of one of them.

    That is from "``name``:", or "``name`` and ``other``:", to where the next such begins.
    """
    for kind in settings.__mro__:
        for paragraph in cleandoc(vars(kind).get("__doc__") or "").split("\n\n"):
            flat = " ".join(paragraph.split())
            heads = list(re.finditer(r"``\w+``(?:(?:,| and) ``\w+``)*: ", flat))
            for head, after in zip(heads, [*heads[1:], None], strict=True) if heads else ():
                if f"``{name}``" in head.group():
                    end = after.start() if after else len(flat)
                    return text(flat[head.end() : end].rstrip(";. "))
            said = re.search(rf"``{name}`` (?:is )?([^;.]*(?:\.\d[^;.]*)*)", flat)
            if said:
                return text(said[1])
    raise ValueError(f"no docstring says what {settings.__name__}.{name} is")


def figures(each: Any) -> tuple[str, str]:
    """Return a setting's default and bounds for the table."""
    default = each.default
    if isinstance(default, bool):
        shown_default = f"`{str(default).lower()}`"
    elif isinstance(default, dict) and default:
        shown_default = ", ".join(f"{key.value} `{value}`" for key, value in default.items())
    else:
        shown_default = "none set" if isinstance(default, Settings) else shown(default)
    return shown_default, each.bounds.replace("<", "&lt;")


def codes_of(plugin: type[Any]) -> list[str]:
    """Return the codes that a check or sizer vetoes or reduces with.

    They are looked for in its class, in its settings' and in what they call of their package.
    """
    found: dict[str, None] = {}
    seen: set[object] = set()
    waiting: list[Any] = [plugin, *plugin.Settings.__mro__]
    package = plugin.__module__.partition(".")[0]
    while waiting:
        each = waiting.pop(0)
        if each in seen or getattr(each, "__module__", "").partition(".")[0] != package:
            continue
        seen.add(each)
        names, codes = calls(each)
        found |= dict.fromkeys(codes)
        known = vars(sys.modules[each.__module__])
        waiting += [known[name] for name in names if callable(known.get(name))]
    return sorted(found)


@cache
def calls(item: Any) -> tuple[list[str], list[str]]:
    """Return the names that a class or function uses, and the codes that it refuses with."""
    tree = ast.parse(dedent(getsource(item)))
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    refusing = {"Vetoed", "veto", "reduce"} | {
        each.name for each in functions if "code" in [part.arg for part in each.args.args[:2]]
    }
    codes = []
    for function in functions:
        titles = windows(function)
        for node in ast.walk(function):
            called = getattr(node, "func", None)
            name = getattr(called, "id", getattr(called, "attr", ""))
            if not isinstance(node, ast.Call) or name not in refusing or not node.args:
                continue
            match node.args[0]:
                case ast.Constant(value=str(code)):
                    codes.append(code)
                case ast.JoinedStr(values=[ast.Constant(value=str(start)), _]):
                    codes += [f"{start}{title}" for title in titles]
                case ast.Starred():  # as above
                    codes += [code for code, _ in gate.BREAKER_VETOES.values()]
    return names, codes


# --- plugins -------------------------------------------------------------------------------------


def indicators(catalogue: Catalogue) -> str:
    lines = [
        "# Indicators\n",
        "Stepped bar by bar and run over arrays they give the same bits. `[0]` is the value at the "
        "newest bar, `[1]` the one before; a line is an attribute, such as `bands.upper[0]`.\n",
    ]
    for name, plugin in mine(catalogue, "indicator"):
        made: Any = plugin(plugin.Settings())
        main = made.main or made.lines[0]
        named = ", ".join(f"**`{each}`**" if each == main else f"`{each}`" for each in made.lines)
        lines += [f"## `{name}`\n", text(getdoc(plugin)), ""]
        if len(made.lines) > 1:
            lines += [f"Lines: {named}; the bold one is what `[0]` is of.\n"]
        lines += [f"First value, by default, at bar {made.warmup}.\n"]
        lines += [*settings_table(plugin.Settings), "", text(getdoc(plugin.Settings)), ""]
    return "\n".join(lines)


def strategies(catalogue: Catalogue) -> str:
    lines = ["# Strategies\n", "Set them under `[strategies.NAME]`, with `plugin` and `symbols`.\n"]
    for name, plugin in mine(catalogue, "strategy"):
        module = sys.modules[plugin.__module__].__doc__
        lines += [f"## `{name}`\n", text(getdoc(plugin)), "", text(module), ""]
        lines += [*settings_table(plugin.Settings), "", text(getdoc(plugin.Settings)), ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    catalogue = load_catalogue()
    made = {
        "commands.md": commands(),
        "settings.md": settings(catalogue),
        "hooks.md": hooks(),
        "contract.md": contract(),
        "errors.md": error_codes(),
        "limits.md": limits(catalogue),
        "indicators.md": indicators(catalogue),
        "strategies.md": strategies(catalogue),
    }
    return {name: NOTE + page.rstrip() + "\n" for name, page in made.items()}


def main() -> int:
    check = "--check" in sys.argv[1:]
    FOLDER.mkdir(parents=True, exist_ok=True)
    differ = 0
    for name, page in pages().items():
        path = FOLDER / name
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before == page:
            continue
        if not check:
            path.write_text(page, encoding="utf-8")
            continue
        differ = 1
        print(f"{path.relative_to(ROOT)} is not what the code says; run python docs/generate.py")
        lines = difflib.unified_diff(before.splitlines(), page.splitlines(), lineterm="", n=0)
        print("\n".join(list(lines)[:20]))
    return differ


if __name__ == "__main__":
    sys.exit(main())
