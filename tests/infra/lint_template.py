"""Judges the CloudFormation that comes out of template.yaml: who may do what, limits, what is kept and shown."""

import sys

import iam
import resources
import samconfig
from template import transform

stack = transform()
found = [*iam.check(stack), *resources.check(stack), *samconfig.check(stack)]
for reason in (*iam.MANAGED_POLICIES.items(), *iam.BROAD_RESOURCES.items()):
    print("broad permission:", ": ".join(reason))
for problem in found:
    print("FAIL ", problem)
sys.exit(bool(found))
