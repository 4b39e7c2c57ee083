"""What a run of the kit leaves behind: a table, JSON, JUnit, a capability matrix and a badge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from xml.etree import ElementTree as ET

from mtquant.contract import Broker, tools_of
from mtquant.model import (
    Capabilities,
    Feature,
    OrderType,
    PositionMode,
    Push,
    TimeInForce,
)
from mtquant.testing.case import Case, Group
from mtquant.testing.run import Outcome, Result, Run

_GREEN, _RED = "#2e7d32", "#c62828"


def count(runs: Sequence[Run]) -> dict[Outcome, int]:
    """Return how many results there are of each outcome."""
    results = [each for run in runs for each in run.results]
    return {outcome: sum(each.outcome is outcome for each in results) for outcome in Outcome}


def as_json(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the runs JSON-ready."""
    return {
        "contract": runs[0].capabilities.contract_version,
        "broker": runs[0].capabilities.broker,
        **{str(outcome): number for outcome, number in count(runs).items()},
        "targets": [
            {
                "target": run.target,
                "cases": [
                    {
                        "case": each.case.number,
                        "group": each.case.group.name.lower(),
                        "title": each.case.title,
                        "outcome": each.outcome.value,
                        "why": each.why,
                        "seconds": round(each.seconds, 4),
                    }
                    for each in run.results
                ],
            }
            for run in runs
        ],
    }


def as_junit(runs: Sequence[Run]) -> str:
    """Return the runs as JUnit XML: a suite for each target, a test for each case."""
    root = ET.Element("testsuites", name="mtquant conformance")
    for run in runs:
        numbers = count([run])
        suite = ET.SubElement(
            root,
            "testsuite",
            name=run.target,
            tests=str(len(run.results)),
            failures=str(numbers[Outcome.FAILED]),
            skipped=str(numbers[Outcome.SKIPPED]),
        )
        for each in run.results:
            test = ET.SubElement(
                suite,
                "testcase",
                classname=each.case.group.name.lower(),
                name=f"{each.case.number} {each.case.title}",
                time=f"{each.seconds:.4f}",
            )
            if each.outcome is Outcome.FAILED:
                ET.SubElement(test, "failure", message=_printable(each.why))
            if each.outcome is Outcome.SKIPPED:
                ET.SubElement(test, "skipped", message=_printable(each.why))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def as_matrix(runs: Sequence[Run]) -> str:
    """Return what the broker declares, and what of it was shown to hold, as Markdown."""
    declared = runs[0].capabilities
    lines = [
        f"# {declared.broker}: contract {declared.contract_version}",
        "",
        f"{_summary(runs)} Targets: {'; '.join(run.target for run in runs)}.",
        "",
        "| | offered | not offered |",
        "|---|---|---|",
        *(f"| {name} | {offered} | {lacking} |" for name, offered, lacking in offers(declared)),
        "",
        f"| case | promise | {' | '.join(run.target for run in runs)} |",
        f"|---|---|{'---|' * len(runs)}",
    ]
    for each in zip(*(run.results for run in runs), strict=True):
        told = " | ".join("**failed**" if _bad(one) else one.outcome.value for one in each)
        lines.append(f"| {each[0].case.number} | {each[0].case.title} | {told} |")
    return "\n".join(lines) + "\n"


def offers(declared: Capabilities) -> list[tuple[str, str, str]]:
    """Return what a broker declares, and what it doesn't: name, offered, not offered."""
    tools = [*tools_of(Broker)]
    return [
        _row("order types", declared.order_types, OrderType),
        _row("time in force", declared.time_in_force, TimeInForce),
        _row("position mode", (declared.position_mode,), PositionMode),
        _row("features", declared.features, Feature),
        _row("push", declared.push, Push),
        _row("tools", declared.tools, tools),
    ]


def as_list(cases: Sequence[Case]) -> str:
    """Return the cases as the section of docs/conformance.md that lists them."""
    lines = ["## The cases", ""]
    for group in Group:
        title = group.name.replace("_", " ").capitalize()
        lines += [f"### {title}", "", "| case | promise | needs |", "|---|---|---|"]
        of_group = (each for each in cases if each.group is group)
        lines += [
            f"| {each.number} | {each.title} | {', '.join(each.needs)} |" for each in of_group
        ]
        lines.append("")
    return "\n".join(lines)


def as_shield(runs: Sequence[Run]) -> str:
    """Return the JSON of a shields.io endpoint that says how the run ended."""
    left, right, bad = _verdict(runs)
    colour = _RED if bad else _GREEN
    shield = {"schemaVersion": 1, "label": left, "message": right, "color": colour.lstrip("#")}
    return json.dumps(shield) + "\n"


def _verdict(runs: Sequence[Run]) -> tuple[str, str, bool]:
    """Return a badge's label, its message, and whether that is a bad one."""
    numbers = count(runs)
    bad = numbers[Outcome.FAILED]
    told = f"{bad} failed" if bad else f"{numbers[Outcome.PASSED]} passed"
    return f"mtquant contract {runs[0].capabilities.contract_version}", told, bool(bad)


def as_badge(runs: Sequence[Run]) -> str:
    """Return an SVG that says how the run ended."""
    left, right, bad = _verdict(runs)
    one, two = 7 * len(left) + 12, 7 * len(right) + 12
    colour, text = _RED if bad else _GREEN, escape(f"{left}: {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{one + two}" height="20" role="img" '
        f'aria-label="{text}"><title>{text}</title>'
        f'<rect width="{one}" height="20" fill="#444"/>'
        f'<rect x="{one}" width="{two}" height="20" fill="{colour}"/>'
        '<g fill="#fff" font-family="DejaVu Sans,Verdana,sans-serif" font-size="11" '
        'text-anchor="middle">'
        f'<text x="{one / 2}" y="14">{escape(left)}</text>'
        f'<text x="{one + two / 2}" y="14">{escape(right)}</text></g></svg>\n'
    )


def _summary(runs: Sequence[Run]) -> str:
    numbers = count(runs)
    return ", ".join(f"{number} {outcome}" for outcome, number in numbers.items()) + "."


def _row(name: str, offered: Sequence[str], every: Iterable[str]) -> tuple[str, str, str]:
    lacking = [each for each in every if each not in offered]
    return name, ", ".join(offered) or "none", ", ".join(lacking)


def _bad(result: Result) -> bool:
    return result.outcome is Outcome.FAILED


def _printable(text: str) -> str:
    """Return ``text`` without what XML can't hold."""
    return "".join(each if each.isprintable() else " " for each in text)
