"""What the proofs measured stands at the end of the run."""

import pytest


@pytest.fixture
def measured(record_property):
    """Keeps a figure for the summary: `measured("messages lost", 0)`."""
    return record_property


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        if "proofs/" in report.nodeid and report.when == "call" and report.user_properties:
            terminalreporter.write_line(report.nodeid)
            for name, value in report.user_properties:
                terminalreporter.write_line(f"  {name}: {value}")
