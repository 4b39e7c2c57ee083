"""Mutation tests of the risk code: small faults are put in one by one, and a test must notice each.

``make mutation`` prints how many were noticed, by module, and every one that was not. It ends
with an error under 95 %. It takes one core; ``--module`` takes a part, ``--again`` only what
survived last time.

*How.* The source tree is copied to a temporary directory and tested there, so nothing of it
changes in place. One process imports what isn't ours and then forks a child for each mutant. Where
the change is in a function's body, the tests have been collected before, and the child gives the
function its changed code; otherwise the child hands Python's import the changed syntax tree of the
one module. It then runs the tests that reach the changed function, the quickest of the line first.
Which these are is traced once, at the start; that the unchanged code passes both ways, and that a
fault in each module is noticed, is made sure of. Hypothesis draws the same few examples each time.
A mutant that takes too long counts as noticed.

*Why a script.* mutmut 3 leaves out what has a decorator of its own, such as a validator, and the
defaults of settings. cosmic-ray starts Python and pytest anew for each mutant: hours, not minutes.

*What is changed.* Comparisons (the limit itself, and the opposite), + and -, * and /, //, %, and
and or, not, signs, numbers by one in their last digit, True and False, min and max, all and any,
the bounds of settings, the direction of a rounding or a bisection, the codes of vetoes,
conditions, returned values, statements and the fields of ``replace``.

*What is not.* Documentation and texts for people (f-strings and what is assigned to ``message``),
decorators, annotations of functions, and assignments whose removal can only end in a NameError.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import importlib
import importlib.util
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import tomllib
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import _lru_cache_wrapper, partial
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "mutation.json"
LEAST = 95.0
NOTICED = {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
"""What pytest ends with where a test fails, or a test's file can't be imported."""
EXAMPLES = 30
QUICK_S = 0.05
SHORT = 100
SOURCES = {
    **{name: f"core/mtquant/risk/{name}.py" for name in ("agents", "breaker", "decision", "gate")},
    **{
        name: f"plugins/risk/mtquant_risk/{name}.py"
        for name in ("account", "budgets", "hours", "limits", "order", "portfolio", "sizing")
    },
}
TESTS = (
    "tests/kernel/test_risk.py",
    "tests/kernel/test_agents.py",
    "tests/kernel/test_agent_budget.py",
    "tests/kernel/test_breaker.py",
    "tests/kernel/test_breaker_story.py",
    "tests/kernel/test_gate_model.py",
    "tests/kernel/test_gate_sequences.py",
    "tests/kernel/test_portfolio.py",
    "tests/kernel/test_risk_edges.py",
    "tests/plugins/test_checks.py",
    "tests/plugins/test_check_edges.py",
    "tests/plugins/test_portfolio_checks.py",
    "tests/plugins/test_hours.py",
    "tests/plugins/test_sizing.py",
)
COPIED = ("core", "plugins", "mcp_servers", "tests", "examples", "docs", "pyproject.toml")
# What takes long to import and has no part in what is tested.
PRELOADED = (
    "anyio.pytest_plugin",
    "exchange_calendars",
    "hypothesis.stateful",
    "mtquant.contract",
    "numpy",
    "pandas",
    "trio",
    "_hypothesis_pytestplugin",
)

# --- what is changed -------------------------------------------------------------------------

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
REACHED_BY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}
NAMES = {
    "min": "max",
    "max": "min",
    "all": "any",
    "any": "all",
    "ROUND_CEILING": "ROUND_FLOOR",
    "ROUND_FLOOR": "ROUND_CEILING",
    "bisect_right": "bisect_left",
}
BOUNDS = {"gt": "ge", "ge": "gt", "lt": "le", "le": "lt"}
TEXTS = {"msg", "message"}
CODED = {"veto", "reduce", "Vetoed"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change: ``holder[key]`` of the module's tree becomes ``new``."""

    module: str
    where: str
    number: int
    statement: str
    before: str
    after: str
    lines: tuple[int, int]
    function: tuple[int, int] | None
    holder: Any
    key: Any
    new: ast.AST

    @property
    def in_function(self) -> bool:
        """Whether it runs when a function is called, and not at import."""
        return self.function is not None

    @property
    def name(self) -> str:
        """What it is called in reports, whatever line it stands in."""
        again = f" ({self.number + 1})" if self.number else ""
        change = f"{self.before} -> {self.after}{again}"
        if self.before != self.statement:
            change = f"{self.statement} [{change}]"
        return f"{self.module}.{self.where}: {change}"

    def apply(self) -> None:
        """Change the tree."""
        if isinstance(self.holder, list):
            self.holder[self.key] = self.new
        else:
            setattr(self.holder, self.key, self.new)


@dataclass(slots=True)
class Walk:
    """A way through one module's tree that finds its mutants."""

    module: str
    found: list[Mutant] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    lines: tuple[int, int] = (0, 0)
    statement: str = ""
    seen: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def visit(self, node: ast.AST, holder: Any, key: Any) -> None:  # noqa: ANN401 - list or node
        """Note the mutants of ``node``, which stands at ``holder[key]``, and of all below it."""
        if isinstance(node, ast.stmt):
            self.lines = _lines(node)
            self.statement = _short(_head(node))
            if _is_text(node):
                return
        if isinstance(node, ast.JoinedStr):
            return
        if isinstance(node, ast.If | ast.While | ast.For | ast.With):
            head = node.body[0].lineno - 1
            self.lines = (node.lineno, max(node.lineno, head))
        for new in self._changes(node):
            self._note(node, new, holder, key)
        named = isinstance(node, Function | ast.ClassDef)
        if isinstance(node, Function | ast.ClassDef):
            self.scopes.append(node.name)
        if isinstance(node, Function):
            self.functions.append(node)
        self._below(node)
        if isinstance(node, Function):
            self.functions.pop()
        if named:
            self.scopes.pop()

    def _below(self, node: ast.AST) -> None:
        skipped = {"decorator_list", "returns", "annotation"} if isinstance(node, Function) else ()
        for name, value in ast.iter_fields(node):
            if name in skipped or (isinstance(node, ast.arg) and name == "annotation"):
                continue
            # Inside a function an annotation is never looked at.
            if isinstance(node, ast.AnnAssign) and name == "annotation" and self.functions:
                continue
            if isinstance(node, ast.ClassDef) and name == "decorator_list":
                continue
            if isinstance(node, Function) and name == "args":
                # Defaults are worked out where the function is defined, outside of it.
                self.functions.pop()
                self.visit(value, node, name)
                self.functions.append(node)
            elif isinstance(value, list):
                for place, each in enumerate(value):
                    if isinstance(each, ast.AST):
                        before = self.lines, self.statement
                        self.visit(each, value, place)
                        self.lines, self.statement = before
            elif isinstance(value, ast.AST):
                self.visit(value, node, name)

    def _note(self, old: ast.AST, new: ast.AST, holder: Any, key: Any) -> None:  # noqa: ANN401
        ast.fix_missing_locations(ast.copy_location(new, old))
        before, after = _head(old), _head(new)
        if isinstance(old, ast.Call) and isinstance(new, ast.Call):
            gone = [each for each in old.keywords if each not in new.keywords]
            if gone and len(new.keywords) < len(old.keywords):
                before, after = ast.unparse(gone[0]), "left out"
        texts = self.statement, _short(before), _short(after)
        where = ".".join(self.scopes) or "<module>"
        number = self.seen[where, *texts]
        self.seen[where, *texts] += 1
        self.found.append(
            Mutant(
                module=self.module,
                where=where,
                number=number,
                statement=texts[0],
                before=texts[1],
                after=texts[2],
                lines=self.lines,
                function=_lines(self.functions[0]) if self.functions else None,
                holder=holder,
                key=key,
                new=new,
            )
        )

    def _changes(self, node: ast.AST) -> Iterator[ast.AST]:
        yield from _of_expression(node)
        if isinstance(node, ast.stmt) and self.functions:
            yield from self._of_statement(node)

    def _of_statement(self, node: ast.stmt) -> Iterator[ast.AST]:
        if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            yield ast.Return(ast.Constant(None))
        removable = isinstance(node, ast.Raise | ast.Continue | ast.Break | ast.Delete)
        removable |= isinstance(node, ast.AugAssign) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        )
        if isinstance(node, ast.Assign):
            removable = any(self._stays(each) for each in node.targets)
        if removable:
            yield ast.Pass()

    def _stays(self, target: ast.expr) -> bool:
        """Whether code after it can still run where this assignment is taken away."""
        if isinstance(target, ast.Tuple):
            return any(self._stays(each) for each in target.elts)
        if not isinstance(target, ast.Name):
            return True
        stored = 0
        for each in ast.walk(self.functions[-1]):
            name = each.id if isinstance(each, ast.Name) else getattr(each, "arg", None)
            writes = isinstance(each, ast.arg) or isinstance(getattr(each, "ctx", None), ast.Store)
            stored += writes and name == target.id
        return stored > 1


def _of_expression(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901, PLR0912 - a table of kinds
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for other in COMPARED[type(operator)]:
                    new = copy.copy(node)
                    new.ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                    yield new
        case ast.BinOp() if type(node.op) in REACHED_BY and not _has_text(node):
            yield ast.BinOp(node.left, REACHED_BY[type(node.op)](), node.right)
        case ast.AugAssign() if type(node.op) in REACHED_BY:
            yield ast.AugAssign(node.target, REACHED_BY[type(node.op)](), node.value)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant():
            yield from (ast.Constant(each) for each in _other_values(node.value))
        case ast.Name(ctx=ast.Load()) if node.id in NAMES:
            yield ast.Name(NAMES[node.id], node.ctx)
        case ast.If() | ast.While() | ast.IfExp() if _is_bare(node.test):
            negated = copy.copy(node)
            negated.test = ast.UnaryOp(ast.Not(), node.test)
            yield negated
        case ast.comprehension(ifs=[test]) if _is_bare(test):
            changed = copy.copy(node)
            changed.ifs = [ast.UnaryOp(ast.Not(), test)]
            yield changed
        case ast.Call():
            yield from _of_call(node)
        case ast.keyword(arg="code", value=ast.Constant(str())):
            yield ast.keyword(node.arg, ast.Constant("mutant"))


def _of_call(node: ast.Call) -> Iterator[ast.AST]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    if called in CODED and node.args and isinstance(node.args[0], ast.Constant):
        yield ast.Call(node.func, [ast.Constant("mutant"), *node.args[1:]], node.keywords)
    if called == "abs":
        yield node.args[0]
    if called == "Decimal" and node.args and isinstance(node.args[0], ast.Constant):
        for text in _next_to(node.args[0].value):
            yield ast.Call(node.func, [ast.Constant(text)], [])
    for place, each in enumerate(node.keywords):
        rest = [*node.keywords[:place], *node.keywords[place + 1 :]]
        if called == "replace":
            yield ast.Call(node.func, node.args, rest)
        if called == "Field" and each.arg in BOUNDS:
            other = ast.keyword(BOUNDS[each.arg], each.value)
            yield ast.Call(node.func, node.args, [*rest, other])


def _head(node: ast.AST) -> str:
    """Return a node's code on one line; of a compound statement only what stands before it."""
    if isinstance(node, ast.If | ast.While | ast.For | ast.With | Function | ast.ClassDef):
        node = copy.copy(node)
        node.body = []
        if isinstance(node, ast.If | ast.While | ast.For):
            node.orelse = []
        if isinstance(node, Function | ast.ClassDef):
            node.decorator_list = []
    return " ".join(ast.unparse(node).split()).removesuffix(":")


def _lines(node: ast.stmt) -> tuple[int, int]:
    return node.lineno, node.end_lineno or node.lineno


def _short(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[: SHORT - 3]}..."


def _other_values(value: object) -> Sequence[float]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1, value - 1)
    return [float(each) for each in _next_to(str(value))] if isinstance(value, float) else ()


def _next_to(text: object) -> Sequence[str]:
    """Return the numbers one above and one below in the last digit of a number's text."""
    try:
        number = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        return ()
    if number is None or not number.is_finite():
        return ()
    step = Decimal((0, (1,), int(number.as_tuple().exponent)))
    return (str(number + step), str(number - step))


def _is_bare(test: ast.expr) -> bool:
    """Whether a condition has nothing in it that is changed anyway."""
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    return not (negated or isinstance(test, ast.Compare | ast.BoolOp))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _has_text(node: ast.BinOp) -> bool:
    parts = (node.left, node.right)
    return any(
        isinstance(each, ast.JoinedStr)
        or (isinstance(each, ast.Constant) and isinstance(each.value, str))
        for each in parts
    )


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement only documents, or words a message."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign):
        targets = [node.target]
    return any(isinstance(each, ast.Name) and each.id in TEXTS for each in targets)


def mutants_of(module: str, tree: ast.Module) -> list[Mutant]:
    """Return all mutants of a module."""
    walk = Walk(module)
    walk.visit(tree, None, None)
    return walk.found


# --- running the tests -----------------------------------------------------------------------


class Loader(SourceFileLoader):
    """Loads a module from a syntax tree in place of its file."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self.tree = tree

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the port's
        """Compile the tree."""
        code: CodeType = compile(self.tree, self.path, "exec", dont_inherit=True)
        return code


class Finder(MetaPathFinder):
    """Finds the one changed module before Python finds its file."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        self.name, self.loader = name, Loader(name, path, tree)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the one name only."""
        del path, target
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self.loader.path, loader=self.loader
        )


AT_IMPORT = ""
IN_VAIN = 71
"""What a child ends with that can't put a changed body in place: the module is loaded anew then."""


class Chosen:
    """A pytest plugin: only some tests, the quickest first, with few examples."""

    def __init__(self, order: dict[str, int] | None) -> None:
        self.order = order
        self.durations: dict[str, float] = {}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose and sort the tests, and draw few examples."""
        from hypothesis import settings  # noqa: PLC0415 - imported before forking

        if self.order is not None:
            order = self.order
            items[:] = [each for each in items if each.nodeid in order]
            items.sort(key=lambda each: order[each.nodeid])
        for each in items:
            test = getattr(each, "obj", None)
            drawn = getattr(test, "_hypothesis_internal_use_settings", None)
            if drawn is not None and test is not None:
                few = settings(drawn, max_examples=min(EXAMPLES, drawn.max_examples))
                test._hypothesis_internal_use_settings = few  # noqa: SLF001 - hypothesis has no other way

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember how long a test took, and which failed."""
        self.durations[report.nodeid] = self.durations.get(report.nodeid, 0) + report.duration
        if report.failed:
            self.failed = report.nodeid


class Tracer(Chosen):
    """Notes, too, which lines of the risk code each test reaches."""

    def __init__(self, paths: dict[str, str]) -> None:
        super().__init__(None)
        self.paths = paths
        self.reached: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.lines = self.reached[AT_IMPORT]
        self.caches: list[_lru_cache_wrapper[Any]] = []

    def pytest_collection_finish(self) -> None:
        """Find the caches: what one test has put there would hide lines from the next."""
        self.caches = _caches()

    def _line(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        del event, argument
        self.lines.add((self.paths[frame.f_code.co_filename], frame.f_lineno))
        return self._line

    def call(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        """Trace what is in the files looked at."""
        known = frame.f_code.co_filename in self.paths
        return self._line(frame, event, argument) if known else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Trace one test."""
        for each in self.caches:
            each.cache_clear()
        self.lines = self.reached[item.nodeid]
        try:
            return (yield)
        finally:
            self.lines = self.reached[AT_IMPORT]


class Patched(Chosen):
    """Collects the tests once, and then tries each mutant of a function's body in a child.

    The child gives the function that everybody has imported its changed code.
    """

    def __init__(self, laboratory: Laboratory, mutants: Sequence[Mutant]) -> None:
        super().__init__(None)
        self.laboratory, self.mutants = laboratory, mutants
        self.functions: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
        self.caches: list[_lru_cache_wrapper[Any]] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try the mutants in place of running the tests once."""
        items = {each.nodeid: each for each in session.items}
        self.caches = _caches()
        for each in gc.get_objects():
            if isinstance(each, FunctionType):
                code = each.__code__
                place = (code.co_filename, code.co_qualname, code.co_firstlineno)
                self.functions[place].append(each)
        durations = self.laboratory.known.durations
        unchanged = [
            items[each] for each in sorted(items, key=lambda name: (durations[name], name))
        ]
        if forked(lambda: self._try(set(SOURCES), unchanged), 900):
            sys.exit("the tests fail in this order, though nothing was changed")
        for mutant in self.mutants:
            order = self.laboratory.known.order_of(mutant)
            work = partial(self._changed, mutant, [items[each] for each in order])
            code_of_child = forked(work, self.laboratory.seconds(order)) if order else 0
            self.laboratory.answer(mutant, code_of_child)
        return True

    def _changed(self, mutant: Mutant, items: Sequence[pytest.Item]) -> int:
        mutant.apply()
        return self._try({mutant.module}, items)

    def _try(self, modules: set[str], items: Sequence[pytest.Item]) -> int:
        """Put the bodies of functions in place, and run tests until one fails, in a child."""
        for each in self.caches:
            each.cache_clear()
        if not all(self._put(each) for each in modules):
            return IN_VAIN
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self.failed:
                return int(pytest.ExitCode.TESTS_FAILED)
        return 0

    def _put(self, module: str) -> bool:
        """Give the functions of a module the bodies in its tree; False where one doesn't fit."""
        path = str(self.laboratory.copied / SOURCES[module])
        tree = self.laboratory.trees[module]
        found = False
        for code in _codes(compile(tree, path, "exec", dont_inherit=True)):
            for function in self.functions.get((path, code.co_qualname, code.co_firstlineno), ()):
                if code.co_freevars != function.__code__.co_freevars:
                    return False
                function.__code__ = code
                found = True
        return found


def _caches() -> list[_lru_cache_wrapper[Any]]:
    """Return the caches of our functions."""
    kept = (each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper))
    return [each for each in kept if each.__module__.startswith("mtquant")]


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


@dataclass(slots=True)
class Known:
    """What the tests do on the unchanged code."""

    durations: dict[str, float]
    reached: dict[str, set[tuple[str, int]]]
    tests: dict[tuple[str, int], set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.tests = defaultdict(set)
        for name, lines in self.reached.items():
            for line in lines if name != AT_IMPORT else ():
                self.tests[line].add(name)

    def reaching(self, module: str, lines: tuple[int, int]) -> set[str]:
        """Return the tests that reach one of these lines."""
        first, last = lines
        wanted = [each for each in self.tests if each[0] == module and first <= each[1] <= last]
        return set[str]().union(*(self.tests[each] for each in wanted))

    def at_import(self, mutant: Mutant) -> bool:
        """Whether a line of it runs when the tests are collected."""
        first, last = mutant.lines
        reached = self.reached[AT_IMPORT]
        return any(module == mutant.module and first <= at <= last for module, at in reached)

    def order_of(self, mutant: Mutant) -> dict[str, int]:
        """Return which tests to run, each with its place."""
        first, second = self.reaching(mutant.module, mutant.lines), set[str]()
        # One test may leave behind, in a cache, what the next would have worked out on that line.
        touching = self.reaching(mutant.module, mutant.function or mutant.lines)
        if mutant.in_function and not self.at_import(mutant):
            second = touching - first
        else:
            # What runs at import, such as a setting's default, may matter to any test.
            quick = {each for each, seconds in self.durations.items() if seconds < QUICK_S}
            first = self.reaching(mutant.module, (1, sys.maxsize))
            second = quick - first
        ordered = [
            *sorted(first, key=lambda each: (self.durations[each], each)),
            *sorted(second, key=lambda each: (self.durations[each], each)),
        ]
        return {each: place for place, each in enumerate(ordered)}


def pytest_in_process(plugin: Chosen, files: Sequence[str]) -> int:
    """Run pytest on ``files`` and return its exit code."""
    options = ["-x", "-q", "-s", "-p", "no:xdist", "-o", "timeout=0"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, "-m", "not slow", *files], plugins=[plugin]))


def forked(work: Callable[[], int], seconds: float, *, loud: bool = False) -> int | None:
    """Run ``work`` in a child and return its exit code; None where it took too long."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 70
        try:
            if not loud:
                quiet = os.open(os.devnull, os.O_WRONLY)
                os.dup2(quiet, 1)
                os.dup2(quiet, 2)
            # Python can't be asked politely while it is in a loop of its own.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            code = work()
        except BaseException:  # noqa: BLE001 - whatever it is, it must not get into the parent
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return None
    return os.waitstatus_to_exitcode(status)


# --- the whole -------------------------------------------------------------------------------


class Laboratory:
    """A copy of the source tree in which mutants are tested."""

    def __init__(self, copied: Path) -> None:
        self.copied = copied
        self.trees: dict[str, ast.Module] = {}
        self.mutants: list[Mutant] = []
        self.known = Known({}, {})
        self.files = [each for each in TESTS if (copied / each).exists()]
        for module, path in SOURCES.items():
            self.trees[module] = ast.parse((copied / path).read_text())
            self.mutants += mutants_of(module, self.trees[module])

    def prepare(self) -> None:
        """Import what isn't ours, from the copy where it is."""
        os.chdir(self.copied)
        folders = [self.copied / "core", self.copied / "mcp_servers/paper"]
        folders += sorted((self.copied / "plugins").iterdir())
        sys.path[:0] = [str(each) for each in folders]
        from hypothesis import HealthCheck, Phase, settings  # noqa: PLC0415 - slow to load

        settings.register_profile(
            "mutation",
            derandomize=True,
            database=None,
            deadline=None,
            max_examples=EXAMPLES,
            phases=(Phase.explicit, Phase.generate),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        settings.load_profile("mutation")
        for name in PRELOADED:
            importlib.import_module(name)
        calendars = importlib.import_module("exchange_calendars")
        for code in ("XNYS", "XTKS"):
            calendars.get_calendar(code, start="2000-01-01")
        early = [each for each in sys.modules if each.startswith(("mtquant.risk", "mtquant_risk"))]
        if early:
            sys.exit(f"imported before forking, so it can't be changed: {early}")

    def trace(self) -> None:
        """Run the unchanged code once, and see which tests reach which lines."""
        answer = self.copied / "traced.pickle"

        def work() -> int:
            paths = {str(self.copied / path): module for module, path in SOURCES.items()}
            tracer = Tracer(paths)
            sys.settrace(tracer.call)
            code = pytest_in_process(tracer, self.files)
            sys.settrace(None)
            if code:
                return code
            answer.write_bytes(pickle.dumps((tracer.durations, dict(tracer.reached))))
            return 0

        # The same files need no second look.
        digest = sha256()
        for each in sorted(self.copied.rglob("*.py")):
            digest.update(each.read_bytes())
        known = KEPT.with_name(f"mutation-{digest.hexdigest()[:16]}.pickle")
        if not known.exists():
            code = forked(work, 900, loud=True)
            if code != 0:
                sys.exit(f"the tests fail on the unchanged code: {code}")
            KEPT.parent.mkdir(exist_ok=True)
            shutil.copy(answer, known)
        self.known = Known(*pickle.loads(known.read_bytes()))  # noqa: S301 - our own

    def check(self, modules: Sequence[str]) -> None:
        """Make sure that the tests import the tree they are given: as it is, and with a fault."""
        for module in modules:
            tree = self.trees[module]
            first = next(each for each in self.mutants if each.module == module)
            order = dict([*self.known.order_of(first).items()][:20])
            if self._run(module, tree, order, 600):
                sys.exit(f"the tests fail on {module}, though nothing of it was changed")
            raising = ast.parse("raise RuntimeError('changed')").body
            changed = ast.Module([*tree.body[:2], *raising, *tree.body[2:]], [])
            if self._run(module, changed, order, 600) not in NOTICED:
                sys.exit(f"{module} is imported from elsewhere: a fault in it goes unnoticed")

    def _run(
        self,
        module: str,
        tree: ast.Module,
        order: dict[str, int] | None,
        seconds: float,
        change: Callable[[], None] = lambda: None,
    ) -> int | None:
        """Run the tests in a child, where ``module`` is ``tree`` after ``change``."""
        path = SOURCES[module]
        package = "mtquant.risk" if path.startswith("core") else "mtquant_risk"
        named = {each.partition("::")[0] for each in order or {}}

        def work() -> int:
            change()
            sys.meta_path.insert(0, Finder(f"{package}.{module}", str(self.copied / path), tree))
            files = [each for each in self.files if each in named or order is None]
            return pytest_in_process(Chosen(order), files)

        return forked(work, seconds)

    def seconds(self, order: Sequence[str] | dict[str, int]) -> float:
        """Return how long a mutant may take with these tests."""
        return 10 + 5 * sum(self.known.durations[each] for each in order)

    def answer(self, mutant: Mutant, code: int | None) -> None:
        """Write down how the tests of a mutant ended."""
        with (self.copied / "answers").open("a") as file:
            file.write(json.dumps([mutant.name, code]) + "\n")
        if code not in {*NOTICED, None, IN_VAIN}:
            ended = "survived" if code == 0 else f"pytest itself failed ({code})"
            print(f"{ended}: {SOURCES[mutant.module]}:{mutant.lines[0]} {mutant.name}", flush=True)

    def answers(self) -> dict[str, int | None]:
        """Return what was written down."""
        file = self.copied / "answers"
        lines = file.read_text().splitlines() if file.exists() else []
        return dict(json.loads(each) for each in lines)

    def survivors(self, mutants: Sequence[Mutant]) -> dict[str, bool]:
        """Return of each mutant whether all tests pass that reach it."""
        inside = [each for each in mutants if each.in_function and not self.known.at_import(each)]
        patched = partial(pytest_in_process, Patched(self, inside), self.files)
        if inside and forked(patched, 0, loud=True) != 0:
            sys.exit("the tests could not be run")
        answers = self.answers()
        for mutant in mutants:
            if answers.get(mutant.name, IN_VAIN) == IN_VAIN:
                self.answer(mutant, self._anew(mutant))
        answers = self.answers()
        late = sum(code is None for code in answers.values())
        print(f"{len(answers)} tried, of which {late} took too long")
        return {name: code not in {*NOTICED, None} for name, code in answers.items()}

    def _anew(self, mutant: Mutant) -> int | None:
        """Load the changed module anew: first with the tests of the edges, which are quick."""
        order = self.known.order_of(mutant)
        name = (
            "test_risk_edges" if SOURCES[mutant.module].startswith("core") else "test_check_edges"
        )
        edges = {each: place for each, place in order.items() if name in each}
        for part in (edges, {each: place for each, place in order.items() if each not in edges}):
            tree = self.trees[mutant.module]
            if part:
                code = self._run(mutant.module, tree, part, self.seconds(part), mutant.apply)
                if code not in {0, pytest.ExitCode.NO_TESTS_COLLECTED}:
                    return code
        return 0


def main() -> int:
    """Test the mutants that the command line asks for and print what came of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--module", action="append", choices=list(SOURCES), help="only this one")
    parser.add_argument("--again", action="store_true", help="only what survived last time")
    parser.add_argument("--equivalent", action="store_true", help="also those listed as equivalent")
    parser.add_argument("--list", action="store_true", help="name the mutants and end")
    wanted = parser.parse_args()
    table = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())
    equivalent: dict[str, str] = {each["mutant"]: each["reason"] for each in table["equivalent"]}
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        copied = Path(directory).resolve()
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        for each in COPIED:
            if (ROOT / each).is_dir():
                shutil.copytree(ROOT / each, copied / each, ignore=ignored)
            else:
                shutil.copy(ROOT / each, copied / each)
        laboratory = Laboratory(copied)
        modules = wanted.module or list(SOURCES)
        chosen = [each for each in laboratory.mutants if each.module in modules]
        if wanted.list:
            print(*(each.name for each in chosen), sep="\n")
            return 0
        unknown = set(equivalent) - {each.name for each in laboratory.mutants}
        if unknown:
            sys.exit("\n".join(["equivalent.toml names what there is no more:", *sorted(unknown)]))
        laboratory.prepare()
        laboratory.trace()
        laboratory.check(modules)
        kept: dict[str, bool] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        passed = set(equivalent) if not wanted.equivalent else set[str]()
        noticed = (
            {name for name, alive in kept.items() if not alive} if wanted.again else set[str]()
        )
        asked = [each for each in chosen if each.name not in passed | noticed]
        survived = dict.fromkeys(noticed, False) | laboratory.survivors(asked)
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept | survived, indent=0))
        return report(chosen, survived, equivalent)


def report(chosen: list[Mutant], survived: dict[str, bool], equivalent: dict[str, str]) -> int:
    """Print the score by module and all that survived, and return the exit code."""
    found, same, alive = Counter[str](), Counter[str](), Counter[str]()
    wrong = [name for name in equivalent if survived.get(name) is False]
    for each in chosen:
        if each.name in equivalent:
            same[each.module] += 1
            continue
        found[each.module] += 1
        if survived[each.name]:
            alive[each.module] += 1
    for name in wrong:
        print(f"listed as equivalent, and noticed: {name}")
    print(f"\n{'module':12}{'noticed':>9}{'of':>7}{'score':>9}{'equivalent':>12}")
    for module in (*found, "all"):
        count = found.total() if module == "all" else found[module]
        lost = alive.total() if module == "all" else alive[module]
        named = same.total() if module == "all" else same[module]
        score = 100 * (count - lost) / count
        print(f"{module:12}{count - lost:9}{count:7}{score:8.1f}%{named:12}")
    failed = 100 * (found.total() - alive.total()) < LEAST * found.total()
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
