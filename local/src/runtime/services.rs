//! The embedded AWS services: `DynamoDB` with its proxy, and the fakes of SES, SNS and Secrets Manager.
//!
//! They also serve functions that run in other processes, under `cargo lambda watch` or `sam local`.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Result;
use shared::{
    aws::{Aws, Endpoints},
    secrets::Secret,
};

use crate::{
    aws_fakes::{AwsFakes, outbox::Outbox},
    dynamodb::{embedded::EmbeddedDynamoDb, proxy::DynamoDbProxy},
    iam::IamChecker,
    runtime::clock::MovableClock,
    template::Template,
};

/// The region of the embedded services.
pub const REGION: &str = "us-east-1";

/// The secret access key of every caller. No service checks it.
pub const SECRET_ACCESS_KEY: &str = "local";

/// The addresses to listen on. A service without an address listens on a free loopback port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListenAddresses {
    /// The address of the `DynamoDB` proxy.
    pub dynamodb: Option<SocketAddr>,
    /// The address of the fakes of SES, SNS and Secrets Manager.
    pub messages: Option<SocketAddr>,
}

/// Endpoints of other implementations, which replace the embedded services in compatibility tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExternalEndpoints {
    /// A `DynamoDB`, to which the proxy forwards. Its tables must exist. Its streams are not read, so only the
    /// schedule finds the rows of the outbox table.
    pub dynamodb: Option<SocketAddr>,
    /// An endpoint of SES and SNS. It does not check the caller's IAM policy.
    pub messages: Option<SocketAddr>,
}

/// The embedded services. Dropping them stops them.
#[derive(Debug)]
pub struct Services {
    // The proxy is declared before the database, so that it is dropped first.
    proxy: DynamoDbProxy,
    dynamodb: EmbeddedDynamoDb,
    aws_fakes: AwsFakes,
    clock: Arc<MovableClock>,
    outbox: Arc<Outbox>,
    external: ExternalEndpoints,
}

impl Services {
    /// Starts the services, with `prefix` as the start of the table names. Call it within a Tokio runtime.
    pub fn start(
        data: Option<&Path>,
        prefix: &str,
        clock: Arc<MovableClock>,
        listen: ListenAddresses,
        enforce: bool,
        external: ExternalEndpoints,
    ) -> Result<Self> {
        let template = Template::ours()?;
        let iam = Arc::new(IamChecker::new(Arc::clone(&template), enforce));
        let dynamodb = EmbeddedDynamoDb::start(data, template, prefix)?;
        let database = external.dynamodb.unwrap_or(dynamodb.address());
        let proxy = DynamoDbProxy::open(database, listen.dynamodb, prefix, Arc::clone(&iam))?;
        let outbox = Arc::new(Outbox::default());
        let aws_fakes = AwsFakes::open(
            listen.messages,
            iam,
            Arc::clone(&outbox),
            Arc::clone(&clock),
        )?;
        Ok(Self {
            proxy,
            dynamodb,
            aws_fakes,
            clock,
            outbox,
            external,
        })
    }

    /// The endpoints of the services, with this access key id.
    pub fn aws(&self, caller: &str) -> Aws {
        Aws {
            region: REGION.to_owned(),
            endpoints: Endpoints {
                dynamodb: Some(self.dynamodb_endpoint()),
                secrets_manager: Some(self.secrets_endpoint()),
                ses: Some(self.messages_endpoint()),
                sns: Some(self.messages_endpoint()),
            },
            access_key_id: caller.to_owned(),
            secret_access_key: Secret::new(SECRET_ACCESS_KEY.to_owned()),
            session_token: None,
        }
    }

    /// The proxy in front of `DynamoDB`.
    pub fn proxy(&self) -> &DynamoDbProxy {
        &self.proxy
    }

    /// The embedded `DynamoDB` behind the proxy.
    pub fn dynamodb(&self) -> &EmbeddedDynamoDb {
        &self.dynamodb
    }

    /// The fakes of SES, SNS and Secrets Manager.
    pub fn aws_fakes(&self) -> &AwsFakes {
        &self.aws_fakes
    }

    /// The clock of the functions.
    pub fn clock(&self) -> &Arc<MovableClock> {
        &self.clock
    }

    /// The messages that the fakes have accepted.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The endpoint of `DynamoDB` for an SDK.
    pub fn dynamodb_endpoint(&self) -> String {
        format!("http://{}", self.proxy.address())
    }

    /// The endpoint of SES and SNS for an SDK.
    pub fn messages_endpoint(&self) -> String {
        let aws_fakes = self.aws_fakes.address();
        format!("http://{}", self.external.messages.unwrap_or(aws_fakes))
    }

    /// The endpoint of the fake Secrets Manager for an SDK.
    pub fn secrets_endpoint(&self) -> String {
        format!("http://{}", self.aws_fakes.address())
    }

    /// The environment variables with which the admin CLI or a function in another process uses the services.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "admin".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb_endpoint()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets_endpoint()),
            ("AWS_ENDPOINT_URL_SES", self.messages_endpoint()),
            ("AWS_ENDPOINT_URL_SNS", self.messages_endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
        ]
    }
}

/// `export` lines with these names and values, for a shell.
pub fn export_lines<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut lines = String::new();
    for (name, value) in variables {
        let value = value.replace('\'', r"'\''");
        lines.extend(["export ", name, "='", &value, "'\n"]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_export_lines_are_quoted_for_a_shell() {
        let lines = export_lines([("NAME", "it's $HOME")]);
        assert_eq!(lines, "export NAME='it'\\''s $HOME'\n");
    }
}
