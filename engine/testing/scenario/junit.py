"""Results as JUnit XML, as CI servers read it (the schema of Jenkins' xunit plugin)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

from engine.model.diagnostic import Diagnostic
from engine.testing.scenario.model import Result
from engine.testing.scenario.timeline import plain

#: Characters that XML 1.0 cannot hold, whatever is done to them.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(results: Sequence[Result], diagnostics: Sequence[Diagnostic]) -> bytes:
    """The document: a suite for each file, a case for each scenario; a file that cannot be read
    is a case with an error."""
    bad = {each.file for each in diagnostics if each.severity == "error"}
    root = ElementTree.Element("testsuites")
    suites = {name: list(found) for name, found in groupby(results, lambda r: r.scenario.file)}
    for file in sorted({*suites, *bad}):
        cases = suites.get(file, [])
        errors = [d for d in diagnostics if d.file == file and d.severity == "error"]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_clean(file),
            tests=str(len(cases) + bool(errors)),
            failures=str(sum(not each.ok for each in cases)),
            errors=str(int(bool(errors))),
            skipped="0",
            time=_seconds(sum(each.milliseconds for each in cases)),
        )
        if errors:
            case = _case(suite, file, "the file can be read", 0.0)
            told = "\n".join(map(str, errors))
            _told(case, "error", str(errors[0]), told)
        for each in cases:
            _result(suite, file, each)
    total = {
        key: sum(int(s.get(key, "0")) for s in root) for key in ("tests", "failures", "errors")
    }
    root.attrib.update({name: str(count) for name, count in total.items()})
    root.set("name", "winback test")
    root.set("time", _seconds(sum(each.milliseconds for each in results)))
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _result(suite: ElementTree.Element, file: str, result: Result) -> None:
    case = _case(suite, file, result.scenario.name, result.milliseconds)
    if result.ok:
        return
    lines = [
        f"{file}:{each.place.line}: {each.message}" + (f"\n    {each.hint}" if each.hint else "")
        for each in result.failures
    ]
    told = "\n".join([*lines, "", plain(result.timeline, result.scenario.zone)])
    _told(case, "failure", result.failures[0].message, told)


def _case(
    suite: ElementTree.Element, file: str, name: str, milliseconds: float
) -> ElementTree.Element:
    classname = Path(file).with_suffix("").as_posix().strip("/").replace("/", ".")
    return ElementTree.SubElement(
        suite,
        "testcase",
        name=_clean(name),
        classname=_clean(classname),
        time=_seconds(milliseconds),
    )


def _told(case: ElementTree.Element, kind: str, message: str, text: str) -> None:
    child = ElementTree.SubElement(case, kind, message=_clean(message), type=kind)
    child.text = _clean(text)


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.6f}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)
