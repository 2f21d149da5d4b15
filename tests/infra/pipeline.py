"""Checks the deployment pipeline: its roles must allow what the stack needs, and the documentation must fit."""

import json
import re

from samtranslator.yaml_helper import yaml_parse

from template import ROOT

ROLES = yaml_parse((ROOT / "infra/pipeline/deploy-role.yaml").read_text(encoding="utf-8"))
WORKFLOWS = [
    (ROOT / ".github/workflows" / name).read_text(encoding="utf-8")
    for name in ("deploy.yml", "deploy-stage.yml")
]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def allowed(role):
    """Returns the actions that a role allows."""
    policies = ROLES["Resources"][role]["Properties"]["Policies"]
    statements = [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]
    for statement in statements:
        if statement["Effect"] == "Allow":
            actions = statement["Action"]
            yield from [actions] if isinstance(actions, str) else actions


def check(stack):
    """Yields all problems."""
    services = {action.split(":")[0] for action in allowed("CloudFormationRole")}
    for kind in sorted({it["Type"] for it in stack["Resources"].values()}):
        service = kind.split("::")[1]
        if service.lower() not in services:
            yield f"infra/pipeline/deploy-role.yaml: no permission for resources of the type {kind}"
    trust = ROLES["Resources"]["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    conditions = json.dumps([statement["Condition"] for statement in trust])
    if "environment:${Environment}" not in conditions or "StringLike" in conditions:
        yield "infra/pipeline/deploy-role.yaml: jobs of other environments can take the role"
    outputs = set(ROLES["Outputs"])
    variables = {name for text in WORKFLOWS for name in re.findall(r"\bvars\.(\w+)", text)}
    for name in sorted(variables):
        if f"`{name}`" not in OPERATIONS:
            yield f"docs/operations.md does not document the variable {name} of the workflow"
    described = {re.sub(r"_(\w)", lambda it: it[1], name.title()).replace("Aws", "") for name in variables}
    for output in sorted(outputs):
        if output.lower() not in {one.lower() for one in described}:
            yield f"the workflow does not use the output {output} of infra/pipeline/deploy-role.yaml"
