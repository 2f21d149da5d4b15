//! The providers of both media: who is given a message, and what a failure of theirs means for it.

use std::sync::OnceLock;

use shared::{
    aws::{Aws, AwsCallError},
    config::Config,
};

use crate::{
    messages::{Here, Message, RenderedEmail},
    ses::Ses,
    sns::Sns,
};

/// Why a message was not sent, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendError {
    /// It will never be taken: the address is none, or its owner wants nothing from us.
    Never(String),
    /// It was not taken, and may be another time.
    NotNow(String),
    /// It may have been sent.
    Unsure,
}

impl SendError {
    /// What a failed call means, where `finals` are the codes that no second try would change.
    /// Whatever else a service refuses (a throttle, a quota, a permission, a sender that is not
    /// confirmed yet) somebody can put right, and the message goes out then.
    pub(crate) fn of(failure: AwsCallError, finals: &[&str]) -> Self {
        match failure {
            AwsCallError::Refused(code) if finals.contains(&code.as_str()) => Self::Never(code),
            AwsCallError::Refused(code) => Self::NotNow(code),
            AwsCallError::Unreached => Self::NotNow("unreached".to_owned()),
            AwsCallError::Unsure => Self::Unsure,
        }
    }
}

/// SES and SNS, for one event. A connection that slept with the process between two of them may be
/// dead without knowing it, and swallow a message of which nobody can say whether it was sent; so
/// every event opens its own.
pub(crate) struct Providers<'a> {
    aws: &'a Aws,
    config: &'a Config,
    ses: OnceLock<Option<Ses>>,
    sns: OnceLock<Option<Sns>>,
}

impl<'a> Providers<'a> {
    pub(crate) fn new(aws: &'a Aws, config: &'a Config) -> Self {
        Self {
            aws,
            config,
            ses: OnceLock::new(),
            sns: OnceLock::new(),
        }
    }

    /// Sends a message to an address of its medium, and gives the id that the provider gave it.
    pub(crate) async fn send(&self, to: &str, message: &Message) -> Result<String, SendError> {
        let here = Here {
            server: self.config.server_name.as_str(),
            resets: self.config.password_changes && self.config.mail.is_some(),
        };
        // A template fails only if writing to memory does.
        let unwritten = |_| SendError::NotNow("unwritten".to_owned());
        let off = || SendError::Never("off".to_owned());
        match message {
            Message::Mail(mail) => {
                let make = || Some(Ses::new(self.aws, self.config.mail.as_ref()?));
                let ses = self.ses.get_or_init(make).as_ref().ok_or_else(off)?;
                let letter: RenderedEmail = mail.write(here).map_err(unwritten)?;
                ses.send(to, &letter, mail.kind()).await
            }
            Message::Text(text) => {
                let make = || Some(Sns::new(self.aws, self.config.sms.as_ref()?));
                let sns = self.sns.get_or_init(make).as_ref().ok_or_else(off)?;
                sns.send(to, &text.write(here).map_err(unwritten)?).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_second_try_would_change_is_final() {
        let of = |code: &str| SendError::of(AwsCallError::Refused(code.to_owned()), &["Final"]);
        assert_eq!(of("Final"), SendError::Never("Final".to_owned()));
        for code in ["Throttling", "AccessDenied", "unknown", "final"] {
            assert_eq!(of(code), SendError::NotNow(code.to_owned()));
        }
        let unreached = SendError::of(AwsCallError::Unreached, &["Final"]);
        assert_eq!(unreached, SendError::NotNow("unreached".to_owned()));
        let unsure = SendError::of(AwsCallError::Unsure, &["Final"]);
        assert_eq!(unsure, SendError::Unsure);
    }
}
