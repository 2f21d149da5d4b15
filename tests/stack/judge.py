"""Judges the CloudFormation that comes out of template.yaml: who may do what, limits, what is kept and shown."""

import sys

import roles
import shape
import stages
from template import transformed

stack = transformed()
found = [*roles.faults(stack), *shape.faults(stack), *stages.faults(stack)]
for why in (*roles.MANAGED.items(), *roles.WIDE.items()):
    print("wide:", " because of ".join(why))
for fault in found:
    print("FAULT:", fault)
sys.exit(bool(found))
