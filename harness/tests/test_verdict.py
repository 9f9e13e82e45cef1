"""From findings to verdicts to exit statuses."""

from __future__ import annotations

import pytest

from faultline.catalogue import Expect
from faultline.finding import Finding, Rule, Where
from faultline.verdict import CheckResult, clean_verdict, exit_status, variant_verdict

EXPECT = Expect("leaks", "page-leaked", "kvmcreate")
NO_ORACLE = Expect(no_oracle="QEMU cannot show it")


def result(check: str, status: str, *findings: tuple[str, str]) -> CheckResult:
    made = [
        Finding(rule, "error", "message", Where("kernel/vm.c", 1, function), check=check)
        for rule, function in findings
    ]
    return CheckResult(check, status, 0.1, "", tuple(made))


PASS = result("boot", "pass")


@pytest.mark.parametrize(
    ("expect", "results", "verdict"),
    [
        (EXPECT, [result("leaks", "fail", ("page-leaked", "kvmcreate"))], "caught"),
        (
            EXPECT,
            [result("leaks", "fail", ("kernel-panic", "x"), ("page-leaked", "kvmcreate"))],
            "caught",
        ),
        (EXPECT, [result("leaks", "fail", ("page-leaked", "fork"))], "misdiagnosed"),
        (EXPECT, [result("leaks", "fail", ("double-free", "kvmcreate"))], "misdiagnosed"),
        (EXPECT, [result("boot", "fail", ("page-leaked", "kvmcreate"))], "misdiagnosed"),
        (EXPECT, [PASS, result("leaks", "pass")], "missed"),
        (EXPECT, [PASS, result("leaks", "error")], "error"),
        (EXPECT, [result("leaks", "fail", ("page-leaked", "kvmcreate")),
                  result("boot", "error")], "caught"),
        (Expect("leaks", "page-leaked"), [result("leaks", "fail", ("page-leaked", "f"))],
         "caught"),
        (NO_ORACLE, [PASS], "no-oracle"),
        (NO_ORACLE, [result("boot", "fail", ("kernel-panic", "x"))], "misdiagnosed"),
    ],
)  # fmt: skip
def test_variant_verdict(expect: Expect, results: list[CheckResult], verdict: str) -> None:
    assert variant_verdict(expect, results) == verdict


@pytest.mark.parametrize(
    ("path", "verdict"),
    [(("walk", "mirror_map", "fork"), "caught"), (("walk", "fork"), "misdiagnosed"),
     ((), "misdiagnosed")],
)  # fmt: skip
def test_a_finding_may_have_to_come_through_a_function(
    path: tuple[str, ...], verdict: str
) -> None:
    expect = Expect("sweep", "alloc-failure-panic", "walk", through="mirror_map")
    finding = Finding(
        "alloc-failure-panic", "error", "message", Where(function="walk"), check="sweep",
        path=tuple(Where(function=name) for name in path),
    )  # fmt: skip
    assert variant_verdict(expect, [CheckResult("sweep", "fail", 0.1, "", (finding,))]) == verdict


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["pass", "pass"], "clean"),
        (["pass", "fail"], "fail"),
        (["pass", "skip"], "fail"),
        (["fail", "error"], "error"),
        ([], "fail"),
    ],
)
def test_clean_verdict(statuses: list[str], verdict: str) -> None:
    assert clean_verdict([result("boot", status) for status in statuses]) == verdict


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (["clean", "caught", "no-oracle"], 0),
        (["clean", "missed"], 1),
        (["clean", "misdiagnosed"], 1),
        (["fail", "caught"], 1),
        (["clean", "error"], 3),
        (["missed", "error"], 3),
        ([], 3),
    ],
)
def test_exit_status(verdicts: list[str], status: int) -> None:
    assert exit_status(verdicts) == status


def test_a_rule_has_a_known_severity() -> None:
    with pytest.raises(ValueError, match="severity is 'fatal'"):
        Rule("name", "fatal", "meaning")
