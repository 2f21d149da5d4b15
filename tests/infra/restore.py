"""Restores the accounts table in moto's DynamoDB, with the calls of the commands in docs/operations.md.

moto's point-in-time recovery always copies the present rows, so the test uses a backup for the state at an earlier
time. moto copies neither deletion protection nor point-in-time recovery to a restored table, as AWS does.
tests/flows/operator/restore.rs tests the functions and the admin CLI with a restored table.
"""

import json
import re
import time

from deploy import client, moto
from template import ROOT, SOURCE

STACK = "production"
TABLE = f"{STACK}-accounts"
SINCE = 1_763_805_600_000
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def account(name, **attributes):
    """Returns the main row of an account, and the row of its password."""
    key = {"pk": {"S": f"USER#{name}"}}
    return [
        {**key, "sk": {"S": "A"}, "status": {"S": "active"}, "kind": {"S": "user"}, **attributes},
        {**key, "sk": {"S": "PW"}, "phc": {"S": f"hash of {name}"}},
    ]


def put(dynamodb, rows):
    """Writes rows."""
    for row in rows:
        dynamodb.put_item(TableName=TABLE, Item=row)


def deactivate(dynamodb, name, at, erased=False):
    """Deactivates an account as the functions do."""
    key = {"pk": {"S": f"USER#{name}"}, "sk": {"S": "A"}}
    dynamodb.update_item(
        TableName=TABLE,
        Key=key,
        UpdateExpression="SET #s = :d, deactivated = :now" + (", erased = :now" if erased else ""),
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":d": {"S": "deactivated"}, ":now": {"N": str(at)}},
    )
    dynamodb.delete_item(TableName=TABLE, Key={**key, "sk": {"S": "PW"}})


def documented_scan(dynamodb, since):
    """Runs the scan of docs/operations.md that lists the deactivated accounts."""
    command = re.search(r"aws dynamodb scan .*?deactivated\.tsv", OPERATIONS, re.DOTALL)[0]
    expression = re.search(r"--filter-expression '([^']*)'", command)[1]
    values = re.search(r'--expression-attribute-values "(.*?)" --output', command)[1]
    values = json.loads(values.replace('\\"', '"').replace("$SINCE", str(since)))
    found = dynamodb.scan(
        TableName=TABLE, FilterExpression=expression, ExpressionAttributeValues=values
    )["Items"]
    return sorted((row["pk"]["S"][5:], "erased" in row) for row in found)


def names(dynamodb, table):
    """Returns the usernames with their states."""
    rows = dynamodb.scan(TableName=table)["Items"]
    return {row["pk"]["S"][5:]: row["status"]["S"] for row in rows if row["sk"]["S"] == "A"}


def create(dynamodb):
    """Creates the accounts table with the properties of the template."""
    table = SOURCE["Resources"]["Accounts"]["Properties"]
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode=table["BillingMode"],
        AttributeDefinitions=table["AttributeDefinitions"],
        KeySchema=table["KeySchema"],
        DeletionProtectionEnabled=True,
    )


def main():
    """Runs the restore."""
    with moto() as url:
        dynamodb = client("dynamodb", url)
        create(dynamodb)
        for name in ("alice", "bob", "carol", "erin"):
            put(dynamodb, account(name))
        deactivate(dynamodb, "erin", SINCE - 1)
        past = dynamodb.create_backup(TableName=TABLE, BackupName="state-at-that-time")["BackupDetails"]
        deactivate(dynamodb, "bob", SINCE, erased=True)
        deactivate(dynamodb, "carol", SINCE + 1)
        put(dynamodb, account("dave"))

        # Step 2: the list.
        again = documented_scan(dynamodb, SINCE)
        assert again == [("bob", True), ("carol", False)], again
        # Step 3: the second table. A table of that name makes `GATEHOUSE_TABLES=restored` select it.
        dynamodb.restore_table_from_backup(
            TargetTableName="restored-accounts", BackupArn=past["BackupArn"]
        )
        dynamodb.get_waiter("table_exists").wait(TableName="restored-accounts")
        assert names(dynamodb, "restored-accounts") == {
            "alice": "active", "bob": "active", "carol": "active", "erin": "deactivated"
        }
        # Step 4: the swap. Deletion protection must be turned off first.
        swap = dynamodb.create_backup(TableName="restored-accounts", BackupName="before-swap")
        dynamodb.create_backup(TableName=TABLE, BackupName="broken")
        try:
            dynamodb.delete_table(TableName=TABLE)
        except dynamodb.exceptions.ClientError as error:
            assert "DeletionProtectionEnabled" in str(error), error
        else:
            raise AssertionError("a protected table was deleted")
        dynamodb.update_table(TableName=TABLE, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=TABLE)
        dynamodb.get_waiter("table_not_exists").wait(TableName=TABLE)
        dynamodb.restore_table_from_backup(
            TargetTableName=TABLE, BackupArn=swap["BackupDetails"]["BackupArn"]
        )
        dynamodb.get_waiter("table_exists").wait(TableName=TABLE)
        assert "dave" not in names(dynamodb, TABLE)
        # Step 5: the protections that a restored table lacks.
        assert not dynamodb.describe_table(TableName=TABLE)["Table"]["DeletionProtectionEnabled"]
        dynamodb.update_table(TableName=TABLE, DeletionProtectionEnabled=True)
        dynamodb.update_continuous_backups(
            TableName=TABLE, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        backups = dynamodb.describe_continuous_backups(TableName=TABLE)["ContinuousBackupsDescription"]
        recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        assert recovery == "ENABLED", recovery
        # Step 6: the deactivations.
        for name, erased in again:
            deactivate(dynamodb, name, int(time.time() * 1000), erased)
        assert names(dynamodb, TABLE) == {
            "alice": "active", "bob": "deactivated", "carol": "deactivated", "erin": "deactivated"
        }
        dynamodb.delete_table(TableName="restored-accounts")
    print("restore: the table was replaced, and two deactivations were repeated")


main()
