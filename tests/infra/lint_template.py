"""Lints the transformed template.yaml, samconfig.toml and the pipeline: permissions, AWS limits, retention, logging."""

import sys

import iam
import pipeline
import resources
import samconfig
from template import transform

stack = transform()
problems = [*iam.check(stack), *resources.check(stack), *samconfig.check(stack), *pipeline.check(stack)]
for permission_and_reason in (*iam.MANAGED_POLICIES.items(), *iam.BROAD_RESOURCES.items()):
    print("broad permission:", ": ".join(permission_and_reason))
for problem in problems:
    print("FAIL ", problem)
sys.exit(bool(problems))
