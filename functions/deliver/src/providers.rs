//! The providers of both media: SES for e-mail, SNS for text messages.

use std::sync::OnceLock;

use shared::{aws::Aws, config::Config};

use crate::{
    messages::{Message, ServerInfo},
    send_error::SendError,
    ses::Ses,
    sns::Sns,
};

/// SES and SNS, for one event. Each event opens new connections. While Lambda freezes the process, the provider may
/// close a connection without notice, and the result of a request on a closed connection would be unknown.
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

    /// Sends a message to an address of its medium. Returns the provider's message ID.
    pub(crate) async fn send(&self, to: &str, message: &Message) -> Result<String, SendError> {
        let server = ServerInfo {
            name: self.config.server_name.as_str(),
            public_url: &self.config.public_url,
            password_reset: self.config.password_changes && self.config.mail.is_some(),
        };
        // Rendering fails only if writing to memory fails.
        let not_rendered =
            |_| SendError::Temporary("the template could not be rendered".to_owned());
        let disabled = || SendError::Permanent("the medium is disabled by the settings".to_owned());
        match message {
            Message::Mail(mail) => {
                let open = || Some(Ses::new(self.aws, self.config.mail.as_ref()?));
                let ses = self.ses.get_or_init(open).as_ref().ok_or_else(disabled)?;
                let email = mail.render(server).map_err(not_rendered)?;
                ses.send(to, &email, mail.kind()).await
            }
            Message::Sms(sms) => {
                let open = || Some(Sns::new(self.aws, self.config.sms.as_ref()?));
                let sns = self.sns.get_or_init(open).as_ref().ok_or_else(disabled)?;
                sns.send(to, &sms.render(server).map_err(not_rendered)?)
                    .await
            }
        }
    }
}
