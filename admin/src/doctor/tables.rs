//! Compares the tables with those that the template creates.

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::describe_table::DescribeTableError,
    types::{
        KeySchemaElement, KeyType, PointInTimeRecoveryStatus, StreamViewType, TableDescription,
        TableStatus, TimeToLiveStatus,
    },
};

use super::checks::Check;
use crate::Admin;

/// The expected properties of a table.
pub(super) struct Expected {
    name: &'static str,
    keys: &'static [&'static str],
    /// Whether the rows of the table expire. Such a table needs time to live. Every other table needs
    /// point-in-time recovery and deletion protection.
    expires: bool,
    /// Whether the table needs the stream that invokes `deliver`, and the index of due rows.
    has_stream: bool,
}

const fn expiring(name: &'static str) -> Expected {
    Expected {
        name,
        keys: &["pk"],
        expires: true,
        has_stream: false,
    }
}

pub(super) const TABLES: [Expected; 6] = [
    Expected {
        name: "accounts",
        keys: &["pk", "sk"],
        expires: false,
        has_stream: false,
    },
    expiring("uia-sessions"),
    expiring("limits"),
    expiring("proofs"),
    expiring("oauth"),
    Expected {
        has_stream: true,
        ..expiring("outbox")
    },
];

pub(super) async fn check(admin: &Admin, expected: &Expected) -> Vec<Check> {
    let client = &admin.services.dynamodb;
    let table = format!("{}-{}", admin.services.tables, expected.name);
    let name = format!("table {table}");
    match client.describe_table().table_name(&table).send().await {
        Ok(output) => {
            let described = output
                .table
                .unwrap_or_else(|| TableDescription::builder().build());
            let mut checks = check_description(&name, expected, &described);
            checks.push(if expected.expires {
                check_time_to_live(client, &name, &table).await
            } else {
                check_recovery(client, &name, &table).await
            });
            checks
        }
        Err(error) if is_missing(&error) => {
            let advice = "Check that GATEHOUSE_TABLES is the name of the stack, and that the region is right.";
            vec![Check::fail(&name, "the table does not exist", advice)]
        }
        Err(error) => vec![Check::call_failed(&name, &error)],
    }
}

/// The names of the tables that do not exist.
pub(crate) async fn missing(admin: &Admin) -> Vec<String> {
    let mut missing = Vec::new();
    for expected in &TABLES {
        let table = format!("{}-{}", admin.services.tables, expected.name);
        let call = admin.services.dynamodb.describe_table().table_name(&table);
        if call.send().await.is_err_and(|error| is_missing(&error)) {
            missing.push(table);
        }
    }
    missing
}

fn is_missing(error: &SdkError<DescribeTableError>) -> bool {
    error
        .as_service_error()
        .is_some_and(DescribeTableError::is_resource_not_found_exception)
}

fn check_description(name: &str, expected: &Expected, table: &TableDescription) -> Vec<Check> {
    const REDEPLOY: &str = "Deploy the template again: the table differs from the template.";
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
            format!("the table is {status}"),
            "Wait, or look at the table in DynamoDB.",
        )
    } else if keys == expected.keys {
        Check::ok(name, "the table exists and has the right keys")
    } else {
        Check::fail(
            name,
            format!("the keys of the table are {}", keys.join(", ")),
            REDEPLOY,
        )
    });
    if !expected.expires {
        checks.push(match table.deletion_protection_enabled {
            Some(true) => Check::ok(name, "deletion protection is on"),
            _ => Check::warn(
                name,
                "deletion protection is off",
                "The table contains every account: deploy with DeletionProtection=on.",
            ),
        });
    }
    if expected.has_stream {
        let mut indexes = table.global_secondary_indexes().iter();
        let due = indexes.find(|index| index.index_name() == Some("due"));
        let found = due.is_some_and(|index| keys_of(index.key_schema()) == ["due", "due_at"]);
        checks.push(if found {
            Check::ok(name, "the index of due rows exists")
        } else {
            Check::fail(name, "the index of due rows does not exist", REDEPLOY)
        });
        let stream = table.stream_specification.as_ref();
        let stream = stream.filter(|stream| stream.stream_enabled);
        checks.push(
            match stream.and_then(|stream| stream.stream_view_type.as_ref()) {
                Some(StreamViewType::KeysOnly) => Check::ok(name, "the stream contains only keys"),
                Some(other) => Check::warn(
                    name,
                    format!("the stream contains {}", other.as_str()),
                    "The rows contain addresses: set the view type of the stream to KEYS_ONLY.",
                ),
                None => Check::warn(
                    name,
                    "the table has no stream",
                    "Messages wait a minute or longer for the schedule: deploy the template again.",
                ),
            },
        );
    }
    checks
}

/// The key names of a schema, the partition key first.
fn keys_of(schema: &[KeySchemaElement]) -> Vec<&str> {
    let of = |kind: KeyType| schema.iter().filter(move |key| key.key_type == kind);
    let keys = of(KeyType::Hash).chain(of(KeyType::Range));
    keys.map(KeySchemaElement::attribute_name).collect()
}

async fn check_time_to_live(client: &Client, name: &str, table: &str) -> Check {
    match client
        .describe_time_to_live()
        .table_name(table)
        .send()
        .await
    {
        Ok(output) => {
            let enabled = output.time_to_live_description.filter(|description| {
                matches!(
                    description.time_to_live_status,
                    Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
                )
            });
            match enabled
                .and_then(|description| description.attribute_name)
                .as_deref()
            {
                Some("ttl") => Check::ok(name, "time to live is on"),
                _ => Check::warn(
                    name,
                    "time to live is off",
                    "Expired rows are not deleted, so the table keeps growing: enable time to live with the attribute `ttl`.",
                ),
            }
        }
        Err(error) => Check::call_failed(name, &error),
    }
}

async fn check_recovery(client: &Client, name: &str, table: &str) -> Check {
    match client
        .describe_continuous_backups()
        .table_name(table)
        .send()
        .await
    {
        Ok(output) => {
            let status = output
                .continuous_backups_description
                .and_then(|backups| backups.point_in_time_recovery_description)
                .and_then(|recovery| recovery.point_in_time_recovery_status);
            match status {
                Some(PointInTimeRecoveryStatus::Enabled) => {
                    Check::ok(name, "point-in-time recovery is on")
                }
                _ => Check::warn(
                    name,
                    "point-in-time recovery is off",
                    "The table contains every account: enable point-in-time recovery.",
                ),
            }
        }
        Err(error) => Check::call_failed(name, &error),
    }
}
