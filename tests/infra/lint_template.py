"""Lints the transformed template.yaml, samconfig.toml and the pipeline: permissions, AWS limits, retention, logging."""

import sys

import documentation
import iam
import pipeline
import resources
import samconfig
from template import transform

stack = transform()
checks = (iam, resources, samconfig, pipeline, documentation)
problems = [problem for part in checks for problem in part.check(stack)]
for permission_and_reason in (*iam.MANAGED_POLICIES.items(), *iam.BROAD_RESOURCES.items()):
    print("broad permission:", ": ".join(permission_and_reason))
for problem in problems:
    print("FAIL ", problem)
sys.exit(bool(problems))
