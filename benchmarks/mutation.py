"""Mutation testing of the recognition: one change at a time, and whether a test fails.

    python benchmarks/mutation.py [--jobs 2] [order_id template wish words]

Our own mutator, since mutmut changes only functions, and most of `order_id` and half of `wish` are regular expressions
and tables at module level. Changed: comparisons, and/or/not, conditions, arithmetic, numbers (both ways), truth values,
texts, returns, slices, statements, elements of literals, pairs of like calls (any/all, min/max), and in regular
expressions classes, quantifiers, bounds, anchors, look-arounds, alternatives and letters. Not changed: docstrings,
annotations, decorators. A change that can't be imported (a broken expression) is not counted.

Every mutant runs in a child of its own with the module put in place in memory; no file is written. Hypothesis runs
derandomised, so that two runs give the same count.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import re
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parent.parent
TESTS = {
    "order_id": ("order_id", "wish", "template", "notice", "samples"),
    "template": ("template", "wish", "notice", "wish_set", "samples"),
    "wish": ("wish", "notice", "wish_set", "samples"),
    "words": ("wish", "template", "notice", "wish_set", "samples"),
}
TIMEOUT = 20.0
SURVIVED, KILLED, NOT_COUNTED = 0, 1, 77
PRELOAD = ("_pytest.assertion.rewrite", "hypothesis.strategies", "bs4", "lxml.html", "mailparser", "requests")

COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
PAIRS = {
    "any": "all",
    "all": "any",
    "min": "max",
    "max": "min",
    "startswith": "endswith",
    "match": "search",
    "fullmatch": "match",
    "lower": "upper",
}
NO_OPS = {"strip", "lower"}  # text methods whose call may be left out

Change = tuple[str, Callable[[], object]]


def regex_changes(text: str) -> Iterator[str]:  # noqa: C901
    """A regular expression, or a piece of one, with one thing changed."""
    at = 0
    while at < len(text):
        rest = text[at:]
        if found := re.match(r"\[(\^?)((?:\\u[0-9a-f]{4}|\\.|[^\]\\])+)\]", rest):
            before, after = text[:at], text[at + found.end() :]
            yield f"{before}[{'' if found[1] else '^'}{found[2]}]{after}"
            members = re.findall(r"(?:\\.|[^\\])-(?:\\.|[^\\])|\\.|.", found[2], re.DOTALL)
            for number in range(len(members) if len(members) > 1 else 0):
                yield f"{before}[{found[1]}{''.join(members[:number] + members[number + 1 :])}]{after}"
            at += found.end()
        elif found := re.match(r"\(\?(<?)([!=])", rest):
            yield f"{text[:at]}(?{found[1]}{'=' if found[2] == '!' else '!'}{text[at + found.end() :]}"
            at += found.end()
        elif found := re.match(r"\(\?:|\(|\)|\|", rest):
            at += found.end()
        elif found := re.match(r"\{(\d*)(,?)(\d*)\}", rest):
            for group in (1, 3):
                for step in (-1, 1) if found[group] else ():
                    bound = str(max(0, int(found[group]) + step))
                    yield text[: at + found.start(group)] + bound + text[at + found.end(group) :]
            at += found.end()
        elif found := re.match(r"[*+?]", rest):
            yield text[:at] + {"*": "+", "+": "*", "?": ""}[found[0]] + text[at + 1 :]
            at += 1
        elif found := re.match(r"(?:\\u[0-9a-f]{4}|\\.|[\^$.])(?:[*+?]|\{[\d,]+\})?", rest):
            yield text[:at] + text[at + found.end() :]
            at += 6 if rest.startswith("\\u") else 2 if rest[0] == "\\" else 1
        else:
            found = re.match(r"[^\\\[\](){}|*+?^$.]+", rest)
            if found:
                yield text[:at] + rest[1:]
            at += found.end() if found else 1
    yield from _fewer_alternatives(text)


def _fewer_alternatives(text: str) -> Iterator[str]:
    """The expression without one of the alternatives of a group (or of the whole)."""
    open_at: list[list[int]] = [[0]]
    at = 0
    spans: list[list[int]] = []
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == "[" and (closed := text.find("]", at + 2)) > 0:
            at = closed + 1
            continue
        if text[at] == "(":
            start = re.match(r"\((?:\?(?::|<?[!=]))?", text[at:])
            at += start.end() if start else 1
            open_at.append([at])
            continue
        if text[at] == "|":
            open_at[-1].append(at + 1)
        elif text[at] == ")" and len(open_at) > 1:
            spans.append([*open_at.pop(), at + 1])
        at += 1
    spans.append([*open_at[0], len(text) + 1])
    for starts in spans:
        for number in range(len(starts) - 1 if len(starts) > 2 else 0):
            cut, end = starts[number], starts[number + 1]
            is_last = number == len(starts) - 2
            yield text[: cut - 1] + text[end - 1 :] if is_last else text[:cut] + text[end:]


class Sites:
    """Every change of one module: a description and how to make it in a fresh copy of the tree."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[tuple[int, str, ast.Module]] = []
        self.tree = ast.parse(source)
        self._walk(self.tree, is_regex=False)

    def _add(self, node: ast.AST, before: str, change: Callable[[], Callable[[], None]], line: int = 0) -> None:
        """Change in place, copy the tree, change back."""
        undo = change()
        made = copy.deepcopy(self.tree)
        after = ast.unparse(node)
        undo()
        if after != before:
            self.found.append((line or getattr(node, "lineno", 0), f"{before}  ->  {after}", made))

    def _set(self, node: ast.AST, name: str, *values: object, shown: ast.AST | None = None) -> None:
        shown = shown or node
        before = ast.unparse(shown)
        for value in values:

            def change(value: object = value) -> Callable[[], None]:
                old = getattr(node, name)
                setattr(node, name, value)
                return lambda: setattr(node, name, old)

            self._add(shown, before, change, getattr(node, "lineno", 0))

    def _walk(self, node: ast.AST, *, is_regex: bool) -> None:  # noqa: C901
        if isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self._child(node, "value", is_regex=False)
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
            self._statements(node.body)
            for default in node.args.defaults if isinstance(node, ast.FunctionDef) else []:
                self._walk(default, is_regex=False)
            return
        self._change(node, is_regex=is_regex)
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                self._statements(value)
            elif isinstance(value, list):
                in_call = isinstance(node, ast.Call) and name == "args" and _is_re(node)
                for number, each in enumerate(value):
                    if isinstance(each, ast.AST):
                        self._element(node, value, number, is_regex or (in_call and number == 0))
            elif isinstance(value, ast.AST):
                self._child(node, name, is_regex=is_regex)

    def _child(self, node: ast.AST, name: str, *, is_regex: bool) -> None:
        value = getattr(node, name)
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in NO_OPS:
            self._set(node, name, value.func.value)
        if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not):
            self._set(node, name, value.operand)
        elif name == "test" or (isinstance(node, ast.comprehension) and name == "ifs"):
            self._set(node, name, ast.UnaryOp(ast.Not(), value))
        if isinstance(value, ast.BoolOp):
            for number in range(len(value.values)):
                left = value.values[:number] + value.values[number + 1 :]
                self._set(node, name, left[0] if len(left) == 1 else ast.BoolOp(value.op, left))
        if isinstance(node, ast.Slice) and name in {"lower", "upper"}:
            self._set(node, name, None)
        self._walk(value, is_regex=is_regex)

    def _element(self, node: ast.AST, values: list[ast.AST], number: int, is_regex: bool) -> None:
        each = values[number]
        replaced: list[ast.AST | None] = []
        is_target = isinstance(node, (ast.Tuple, ast.List)) and not isinstance(node.ctx, ast.Load)
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)) and len(values) > 1 and not is_target:
            replaced.append(None)
        if isinstance(node, ast.comprehension):
            replaced += [ast.Constant(True)]
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in NO_OPS:
            replaced.append(each.func.value)
        if isinstance(each, ast.UnaryOp) and isinstance(each.op, ast.Not):
            replaced.append(each.operand)
        before = ast.unparse(node)
        for value in replaced:

            def change(value: ast.AST | None = value) -> Callable[[], None]:
                values[number : number + 1] = [] if value is None else [value]

                def undo() -> None:
                    values[number : number + (value is not None)] = [each]

                return undo

            self._add(node, before, change, getattr(each, "lineno", 0))
        self._walk(each, is_regex=is_regex)

    def _statements(self, body: list[ast.stmt]) -> None:
        for number, statement in enumerate(body):
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if is_text or isinstance(statement, (ast.Import, ast.ImportFrom)):
                continue
            others: list[ast.stmt] = []
            if isinstance(statement, (ast.Expr, ast.AugAssign, ast.Raise, ast.Break, ast.Continue)):
                others.append(ast.Pass())
            if isinstance(statement, ast.AugAssign):
                others.append(ast.Assign([statement.target], statement.value, lineno=statement.lineno))
            if isinstance(statement, ast.Return) and statement.value and ast.unparse(statement.value) != "None":
                others.append(ast.Return(ast.Constant(None)))
            for other in others:

                def change(number: int = number, other: ast.stmt = other) -> Callable[[], None]:
                    old = body[number]
                    body[number] = other
                    return lambda: body.__setitem__(number, old)

                undo = change()
                made = copy.deepcopy(self.tree)
                undo()
                self.found.append((statement.lineno, f"{ast.unparse(statement)}  ->  {ast.unparse(other)}", made))
            self._walk(statement, is_regex=False)

    def _change(self, node: ast.AST, *, is_regex: bool) -> None:
        if isinstance(node, ast.Compare):
            self._set(node, "ops", *([other()] for other in COMPARE[type(node.ops[0])] if len(node.ops) == 1))
        elif isinstance(node, ast.BoolOp):
            self._set(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC:
            self._set(node, "op", ARITHMETIC[type(node.op)]())
        elif isinstance(node, ast.Name) and node.id in PAIRS and isinstance(node.ctx, ast.Load):
            self._set(node, "id", PAIRS[node.id])
        elif isinstance(node, ast.Attribute) and node.attr in PAIRS and isinstance(node.ctx, ast.Load):
            self._set(node, "attr", PAIRS[node.attr])
        elif isinstance(node, ast.keyword) and not isinstance(node.value, ast.Constant):
            self._set(node, "value", ast.Constant(None))
        elif isinstance(node, ast.Constant):
            self._set(node, "value", *_other_constants(node.value, is_regex=is_regex))


def _is_re(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "re"


def _other_constants(value: object, *, is_regex: bool) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if not isinstance(value, str):
        return []
    if is_regex or re.search(r"\[|\\|\(\?", value):
        return list(dict.fromkeys(regex_changes(value)))
    if len(value) > 8 and not any(character.isalnum() and character.isascii() for character in value):
        return [value[:number] + value[number + 1 :] for number in range(len(value))]
    return [f"XX{value}XX"]


class SameEveryTime:
    """Hypothesis without chance, memory and shrinking; loaded after conftest's own profile, before any test."""

    def pytest_configure(self) -> None:
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutation", deadline=None, database=None, derandomize=True, phases=phases)
        settings.load_profile("mutation")


def run(name: str, tree: ast.Module) -> int:
    """In a child: put the changed module in place and run the tests. Never returns to the caller's loop."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    full = f"mailwatch.amazon.{name}"
    package = importlib.import_module("mailwatch.amazon")
    module = types.ModuleType(full)
    module.__file__ = str(ROOT / "mailwatch" / "amazon" / f"{name}.py")
    module.__package__ = "mailwatch.amazon"
    sys.modules[full] = module
    setattr(package, name, module)
    try:
        exec(compile(ast.fix_missing_locations(tree), module.__file__, "exec"), module.__dict__)  # noqa: S102
    except Exception:  # noqa: BLE001
        return NOT_COUNTED
    files = [str(ROOT / "tests" / f"test_{each}.py") for each in TESTS[name]]
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, *files], plugins=[SameEveryTime()]))


def fork(name: str, tree: ast.Module) -> int:
    child = os.fork()
    if child:
        return child
    code = KILLED
    try:
        code = run(name, tree)
    finally:
        os._exit(code)


def all_results(name: str, mutants: list[tuple[int, str, ast.Module]], jobs: int) -> list[int]:
    results = [KILLED] * len(mutants)
    running: dict[int, tuple[int, float]] = {}
    waiting = list(range(len(mutants)))
    while waiting or running:
        while waiting and len(running) < jobs:
            number = waiting.pop(0)
            running[fork(name, mutants[number][2])] = (number, time.monotonic())
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            number, _ = running.pop(child)
            results[number] = os.waitstatus_to_exitcode(status)
            if results[number] == SURVIVED and mutants[number][1]:
                print(f"  survived  {name}.py:{mutants[number][0]}  {mutants[number][1]}", flush=True)
            continue
        for each, (_, since) in running.items():
            if time.monotonic() - since > TIMEOUT:
                os.kill(each, signal.SIGKILL)
        time.sleep(0.01)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the recognition")
    parser.add_argument("modules", nargs="*", default=["order_id", "template", "wish"])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="only list the changes")
    given = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for each in PRELOAD:
        importlib.import_module(each)
    for name in given.modules:
        sites = Sites((ROOT / "mailwatch" / "amazon" / f"{name}.py").read_text("utf-8"))
        if given.list:
            print(*(f"{name}:{line}  {what}" for line, what, _ in sites.found), sep="\n")
            continue
        if all_results(name, [(0, "", sites.tree)], 1) != [SURVIVED]:
            print(f"{name}: the tests fail without any change")
            return 1
        results = all_results(name, sites.found, given.jobs)
        counted = [result for result in results if result != NOT_COUNTED]
        killed = sum(result != SURVIVED for result in counted)
        print(f"{name}: {killed} of {len(counted)} killed ({killed / len(counted):.1%})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
