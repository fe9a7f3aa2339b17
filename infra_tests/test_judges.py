"""cfn-lint and cdk-nag: no error, no finding without an answer, no answer without a finding."""

import subprocess
import sys
from pathlib import Path

from infra_tests.assembly import Assembly

NAG = "AwsSolutions"


def test_cfn_lint_finds_no_error(assembly: Assembly):
    files = [str(assembly.template_file(stack)) for stack in assembly.stacks]
    linter = str(Path(sys.executable).with_name("cfn-lint"))
    ran = subprocess.run(
        [linter, "--non-zero-exit-code", "error", "--ignore-checks", "W", "--", *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not ran.stdout


def _nag_report(assembly: Assembly) -> dict:
    (report,) = [report for report in assembly.report if report["pluginName"] == NAG]
    return dict(report)


def test_cdk_nag_finds_nothing_that_is_not_answered(assembly: Assembly):
    report = _nag_report(assembly)
    assert report["conclusion"] == "success"
    assert report["violations"] == []


def test_every_answer_to_cdk_nag_has_its_finding_and_a_reason(assembly: Assembly):
    given = {
        (answer, path.removeprefix("/")): reason
        for path, notes in assembly.metadata.items()
        for note in notes
        if note["type"] == "aws:cdk:acknowledged-rules"
        for answer, reason in note["data"].items()
        if answer.startswith(f"{NAG}::")
    }
    found = {
        (finding["acknowledgedId"], finding["acknowledgedAt"])
        for finding in _nag_report(assembly)["suppressedViolations"]
    }
    assert given.keys() == found
    assert all(len(reason.split()) >= 5 for reason in given.values())
