//! Whether the tables are as the template makes them.

use aws_sdk_dynamodb::{
    Client,
    operation::describe_table::DescribeTableError,
    types::{
        KeySchemaElement, KeyType, PointInTimeRecoveryStatus, StreamViewType, TableDescription,
        TableStatus, TimeToLiveStatus,
    },
};

use super::checks::Check;
use crate::Admin;

/// What a table must be like.
struct Expected {
    name: &'static str,
    keys: &'static [&'static str],
    /// Whether its rows go by themselves, and it needs no safety net; or the other way round.
    passes: bool,
    /// Whether it wakes `deliver`, which finds its rows by an index.
    rings: bool,
}

const fn passing(name: &'static str) -> Expected {
    Expected {
        name,
        keys: &["pk"],
        passes: true,
        rings: false,
    }
}

const TABLES: [Expected; 5] = [
    Expected {
        name: "accounts",
        keys: &["pk", "sk"],
        passes: false,
        rings: false,
    },
    passing("uia-sessions"),
    passing("limits"),
    passing("proofs"),
    Expected {
        rings: true,
        ..passing("outbox")
    },
];

pub(super) async fn look(admin: &Admin) -> Vec<Check> {
    let (client, prefix) = (&admin.services.dynamodb, &admin.services.tables);
    let mut checks = Vec::new();
    for expected in &TABLES {
        let table = format!("{prefix}-{}", expected.name);
        let name = format!("table {table}");
        match client.describe_table().table_name(&table).send().await {
            Ok(answer) => {
                let described = answer
                    .table
                    .unwrap_or_else(|| TableDescription::builder().build());
                checks.extend(shape(&name, expected, &described));
                checks.push(if expected.passes {
                    time_to_live(client, &name, &table).await
                } else {
                    recovery(client, &name, &table).await
                });
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeTableError::is_resource_not_found_exception) =>
            {
                let advice = "Is GATEHOUSE_TABLES the stack's name, and the region the stack's?";
                checks.push(Check::fail(&name, "it is not there", advice));
            }
            Err(error) => checks.push(Check::unanswered(&name, &error)),
        }
    }
    checks
}

/// What the description says.
fn shape(name: &str, expected: &Expected, table: &TableDescription) -> Vec<Check> {
    const REDEPLOY: &str = "Deploy the template again; it is not the table that it makes.";
    let mut checks = Vec::new();
    let active = matches!(
        table.table_status,
        Some(TableStatus::Active | TableStatus::Updating)
    );
    let keys = keys_of(table.key_schema());
    checks.push(if !active {
        let status = table
            .table_status
            .as_ref()
            .map_or("unknown", TableStatus::as_str);
        Check::fail(
            name,
            format!("it is {status}"),
            "Wait, or see what DynamoDB says of it.",
        )
    } else if keys == expected.keys {
        Check::good(name, "it is there, with the right keys")
    } else {
        Check::fail(name, format!("its keys are {}", keys.join(", ")), REDEPLOY)
    });
    if !expected.passes {
        checks.push(match table.deletion_protection_enabled {
            Some(true) => Check::good(name, "it is protected from deletion"),
            _ => Check::warn(
                name,
                "it is not protected from deletion",
                "Every account is in it: switch deletion protection on.",
            ),
        });
    }
    if expected.rings {
        let mut indexes = table.global_secondary_indexes().iter();
        let due = indexes.find(|index| index.index_name() == Some("due"));
        let found = due.is_some_and(|index| keys_of(index.key_schema()) == ["due", "due_at"]);
        checks.push(if found {
            Check::good(name, "it has the index of what is due")
        } else {
            Check::fail(name, "it has no index of what is due", REDEPLOY)
        });
        let stream = table.stream_specification.as_ref();
        let stream = stream.filter(|stream| stream.stream_enabled);
        checks.push(match stream.and_then(|stream| stream.stream_view_type.as_ref()) {
            Some(StreamViewType::KeysOnly) => Check::good(name, "its stream tells keys alone"),
            Some(other) => Check::warn(
                name,
                format!("its stream tells {}", other.as_str()),
                "Messages are in it: let it tell KEYS_ONLY.",
            ),
            None => Check::warn(
                name,
                "it has no stream",
                "Messages wait for the schedule, up to a minute or more: deploy the template again.",
            ),
        });
    }
    checks
}

/// The names of a schema's keys, the partition key's first.
fn keys_of(schema: &[KeySchemaElement]) -> Vec<&str> {
    let of = |kind: KeyType| schema.iter().filter(move |key| key.key_type == kind);
    let keys = of(KeyType::Hash).chain(of(KeyType::Range));
    keys.map(KeySchemaElement::attribute_name).collect()
}

async fn time_to_live(client: &Client, name: &str, table: &str) -> Check {
    match client
        .describe_time_to_live()
        .table_name(table)
        .send()
        .await
    {
        Ok(answer) => {
            let told = answer.time_to_live_description;
            let on = told.filter(|told| {
                matches!(
                    told.time_to_live_status,
                    Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
                )
            });
            match on.and_then(|told| told.attribute_name).as_deref() {
                Some("ttl") => Check::good(name, "its rows go by themselves"),
                _ => Check::warn(
                    name,
                    "its rows do not go by themselves",
                    "Nothing breaks, but it grows for ever: switch time to live on, by the attribute `ttl`.",
                ),
            }
        }
        Err(error) => Check::unanswered(name, &error),
    }
}

async fn recovery(client: &Client, name: &str, table: &str) -> Check {
    match client
        .describe_continuous_backups()
        .table_name(table)
        .send()
        .await
    {
        Ok(answer) => {
            let told = answer.continuous_backups_description;
            let told = told.and_then(|told| told.point_in_time_recovery_description);
            match told.and_then(|told| told.point_in_time_recovery_status) {
                Some(PointInTimeRecoveryStatus::Enabled) => {
                    Check::good(name, "it can be brought back to any second")
                }
                _ => Check::warn(
                    name,
                    "it cannot be brought back to an earlier time",
                    "Every account is in it: switch point-in-time recovery on.",
                ),
            }
        }
        Err(error) => Check::unanswered(name, &error),
    }
}
