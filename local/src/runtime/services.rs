//! The embedded AWS services: the engine, the tap before it, the sinks, the clock and the outbox.
//!
//! Enough on their own for functions that run elsewhere, under `cargo lambda watch` or `sam local`.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Result;
use shared::{
    aws::{Aws, Endpoints},
    secrets::Secret,
};

use crate::{
    aws_fakes::AwsFakes, aws_fakes::outbox::Outbox, dynamodb::embedded::EmbeddedDynamoDb,
    dynamodb::proxy::DynamoDbProxy, iam::IamChecker, runtime::clock::MovableClock,
    template::Template,
};

/// The region the embedded services say they are in.
pub const REGION: &str = "us-east-1";

/// The secret access key of every caller; nothing checks it.
pub const SECRET_ACCESS_KEY: &str = "local";

/// Where they listen, where it matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListenAddresses {
    /// `DynamoDB`
    pub dynamodb: Option<SocketAddr>,
    /// SES and SNS
    pub messages: Option<SocketAddr>,
}

/// Services that somebody else runs, in place of the embedded ones: what others think of our calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExternalEndpoints {
    /// A `DynamoDB`, which the tap then leads to. Its tables are there already, and nobody reads its streams:
    /// what waits in the outbox is found by the schedule alone.
    pub dynamodb: Option<SocketAddr>,
    /// An SES and SNS. Nobody asks whether the caller's policy allows the call.
    pub messages: Option<SocketAddr>,
}

/// The embedded services. Dropping them stops them.
#[derive(Debug)]
pub struct Services {
    // Before the engine, so that it stops first.
    proxy: DynamoDbProxy,
    dynamodb: EmbeddedDynamoDb,
    aws_fakes: AwsFakes,
    clock: Arc<MovableClock>,
    outbox: Arc<Outbox>,
    external: ExternalEndpoints,
}

impl Services {
    /// Starts the services, with tables whose names begin with `prefix`. Call it within a Tokio runtime.
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

    /// Where they are, for a caller with this access key id.
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

    /// The wire tap.
    pub fn proxy(&self) -> &DynamoDbProxy {
        &self.proxy
    }

    /// The embedded `DynamoDB` behind the tap.
    pub fn dynamodb(&self) -> &EmbeddedDynamoDb {
        &self.dynamodb
    }

    /// SES and SNS.
    pub fn aws_fakes(&self) -> &AwsFakes {
        &self.aws_fakes
    }

    /// The clock that can be moved.
    pub fn clock(&self) -> &Arc<MovableClock> {
        &self.clock
    }

    /// The messages that would have been sent.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Where an SDK finds `DynamoDB`.
    pub fn dynamodb_endpoint(&self) -> String {
        format!("http://{}", self.proxy.address())
    }

    /// Where an SDK finds SES and SNS.
    pub fn messages_endpoint(&self) -> String {
        let aws_fakes = self.aws_fakes.address();
        format!("http://{}", self.external.messages.unwrap_or(aws_fakes))
    }

    /// Where an SDK finds the embedded Secrets Manager.
    pub fn secrets_endpoint(&self) -> String {
        format!("http://{}", self.aws_fakes.address())
    }

    /// What an operator's command or a function elsewhere needs in its environment to use the services:
    /// names and values.
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

/// Names and values as lines a shell evaluates.
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
    fn a_shell_reads_back_what_was_written() {
        let lines = export_lines([("NAME", "it's $HOME")]);
        assert_eq!(lines, "export NAME='it'\\''s $HOME'\n");
    }
}
