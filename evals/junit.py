"""Results as JUnit XML, which every CI system shows."""

import re
from xml.etree import ElementTree as ET

from evals.results import CaseResult, EvalReport

__all__ = ["junit_xml"]

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: EvalReport) -> str:
    """One test suite for each agent; a case that could not run is an error, not a failure."""
    root = ET.Element("testsuites", {"name": "countersign evals", **_counts(report.results, report.duration_s)})
    for agent in dict.fromkeys(result.agent for result in report.results):
        results = tuple(result for result in report.results if result.agent == agent)
        counts = _counts(results, sum(result.duration_s for result in results))
        suite = ET.SubElement(root, "testsuite", {"name": agent, **counts})
        ET.SubElement(ET.SubElement(suite, "properties"), "property", name="models", value=", ".join(report.models))
        for result in results:
            suite.append(_case(result))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(result: CaseResult) -> ET.Element:
    case = ET.Element(
        "testcase", classname=f"{result.agent}.{result.family}", name=result.case, time=f"{result.duration_s:.3f}"
    )
    if result.state != "passed":
        kind = "failure" if result.state == "failed" else "error"
        problems = [_NOT_XML.sub("\ufffd", problem) for problem in result.problems]
        element = ET.SubElement(case, kind, message=problems[0] if problems else "no reason")
        element.text = "\n".join([*problems, f"run {result.run_id or 'none'}"])
    return case


def _counts(results: tuple[CaseResult, ...], duration_s: float) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(result.state == "failed" for result in results)),
        "errors": str(sum(result.state == "could_not_run" for result in results)),
        "time": f"{duration_s:.3f}",
    }
