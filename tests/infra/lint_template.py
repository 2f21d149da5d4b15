"""Judges the CloudFormation that comes out of template.yaml: who may do what, limits, what is kept and shown."""

import sys

import iam
import resources
import samconfig
from template import transformed

stack = transformed()
found = [*iam.faults(stack), *resources.faults(stack), *samconfig.faults(stack)]
for why in (*iam.MANAGED.items(), *iam.WIDE.items()):
    print("wide:", " because of ".join(why))
for fault in found:
    print("FAULT:", fault)
sys.exit(bool(found))
