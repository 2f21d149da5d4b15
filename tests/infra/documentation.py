"""Checks the documentation for operators: every AWS command, stack parameter and output in it must exist."""

import re

import botocore.session
from botocore import xform_name
from pipeline import ROLES

from template import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
# Options of every command, and commands of the AWS CLI that are not operations of an API.
GLOBAL_OPTIONS = {"output", "query", "region"}
CLI_COMMANDS = {
    ("cloudformation", "deploy"): {
        "capabilities",
        "parameter-overrides",
        "stack-name",
        "template-file",
    },
    ("logs", "tail"): {"filter-pattern", "since"},
    ("s3", "mb"): set(),
}


def commands(text):
    """Yields the words of each AWS command in a page. Continued lines are joined first."""
    text = re.sub(r"\\\n\s*", "", text)
    for match in re.finditer(r"(?<![\w/.-])aws ([a-z0-9-]+) ([a-z0-9-]+)([^`\n]*)", text):
        service, operation, rest = match.groups()
        # Nested commands are matched on their own; their options do not belong to this one.
        rest = re.split(r"\$\(aws |\| *$", rest)[0]
        # Text in quotes is an argument.
        rest = re.sub(r"'[^']*'|\"[^\"]*\"", "X", rest)
        rest = re.split(r"[;|)]|&&", rest)[0]
        yield service, operation, rest


def problem_with(session, service, operation, rest):
    """Returns the problem with a command, or None."""
    options = {option for option in re.findall(r"(?<=\s)--([a-z0-9-]+)", rest)} - GLOBAL_OPTIONS
    if (service, operation) in CLI_COMMANDS:
        unknown = options - CLI_COMMANDS[service, operation]
        return f"unknown options {unknown}" if unknown else None
    if service not in session.get_available_services():
        return "unknown service"
    model = session.get_service_model(service)
    if operation == "wait":
        waiter = rest.split()[0]
        waiters = session.get_waiter_model(service).waiter_names
        known = {xform_name(name, "-"): session.get_waiter_model(service).get_waiter(name) for name in waiters}
        if waiter not in known:
            return f"unknown waiter {waiter}"
        operation = xform_name(known[waiter].operation, "-")
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in names:
        return "unknown operation"
    shape = model.operation_model(names[operation]).input_shape
    members = {xform_name(name, "-") for name in (shape.members if shape else {})}
    unknown = {it for it in options if it not in members and it.removeprefix("no-") not in members}
    return f"unknown options {unknown}" if unknown else None


def check(stack):
    """Yields all problems."""
    session = botocore.session.get_session()
    count = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for service, operation, rest in commands(text):
            count += 1
            problem = problem_with(session, service, operation, rest)
            if problem:
                yield f"docs/{page.name}: aws {service} {operation}: {problem}"
    print(f"AWS commands in the documentation: {count}")
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    known = set(stack["Parameters"]) | set(ROLES["Parameters"])
    for code in re.findall(r"`([^`\n]+)`", text):
        for name in re.findall(r"(?:^|(?<= )|(?<=\"))([A-Z][A-Za-z]+)=", code) if not code.startswith("aws ") else ():
            if name not in known and name != "Name" and not name.isupper():
                yield f"docs/operations.md: no parameter {name} (in `{code}`)"
    for output in re.findall(r"\boutputs? `(\w+)`", text):
        if output not in stack["Outputs"] and output not in ROLES["Outputs"]:
            yield f"docs/operations.md: no output {output}"
