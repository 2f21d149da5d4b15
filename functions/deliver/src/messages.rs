//! The texts of the messages.
//!
//! A new message is a variant of [`Mail`] or [`Sms`], with an arm where the compiler and the templates
//! require one. An e-mail has two bodies of the same name, `.txt` and `.html`, which `mail.txt` and
//! `mail.html` include. A text message is an arm of `sms.txt`. A template must never contain text that a
//! client sent, so that an attacker cannot send text of their choice through this server.

use askama::Template;
use shared::{
    outbox::Notice,
    secrets::Secret,
    threepid_validation::{RequestOrigin, ValidationPurpose},
};

/// A message to one recipient.
#[derive(Debug)]
pub(crate) enum Message {
    /// An e-mail, sent through SES.
    Mail(Mail),
    /// A text message, sent through SNS.
    Sms(Sms),
}

/// The content of an e-mail.
#[derive(Debug)]
pub(crate) enum Mail {
    /// The link that validates an address.
    Link {
        /// The purpose of the validation session.
        purpose: ValidationPurpose,
        /// The URL of the link, which contains a token.
        link: Secret,
        /// Whether the link leads to a page that asks for confirmation and has the button "It was not
        /// me".
        confirmation_page: bool,
        /// The origin of the request, if it is recorded.
        origin: Option<RequestOrigin>,
    },
    /// A client requested an account for the address, which already belongs to an account (3PID-05). Only the
    /// owner of the mailbox is informed of that.
    HasAccount {
        /// The origin of the request, if it is recorded.
        origin: Option<RequestOrigin>,
    },
    /// A client requested to add the address to an account, but the address already belongs to an account
    /// (3PID-07). Only the owner of the mailbox is informed of that.
    InUse {
        /// The origin of the request, if it is recorded.
        origin: Option<RequestOrigin>,
    },
    /// An account that had the address was changed. The text does not name the account, because the
    /// address may belong to another person by now.
    Notice {
        /// The change.
        notice: Notice,
        /// The date of the change, as text.
        date: String,
    },
}

/// A text message. It has at most 160 characters of the GSM alphabet, unless the server name is too
/// long.
#[derive(Debug)]
pub(crate) enum Sms {
    /// The code that validates a number, in the format that phones can fill in automatically.
    Code {
        /// The purpose of the validation.
        purpose: ValidationPurpose,
        /// The code, in decimal digits.
        code: Secret,
    },
    /// A client requested an account for the number, which already belongs to an account. Phone numbers are
    /// reassigned, so the text does not mention that account.
    HasAccount,
    /// A client requested to add the number to an account, but the number already belongs to an account. The
    /// text does not mention that account either.
    InUse,
}

/// The server, for the texts of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerInfo<'a> {
    /// The server name, with its port if it has one.
    pub(crate) name: &'a str,
    /// The URL of the pages that ask for codes.
    pub(crate) public_url: &'a str,
    /// Whether users can set a new password by e-mail.
    pub(crate) password_reset: bool,
}

/// The rendered text of an e-mail.
#[derive(PartialEq, Eq)]
pub(crate) struct RenderedEmail {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

#[derive(Template)]
#[template(path = "mail.txt")]
struct MailTextTemplate<'a> {
    mail: &'a Mail,
    server: ServerInfo<'a>,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailHtmlTemplate<'a> {
    subject: &'a str,
    mail: &'a Mail,
    server: ServerInfo<'a>,
}

#[derive(Template)]
#[template(path = "sms.txt")]
struct SmsTemplate<'a> {
    sms: &'a Sms,
    server: ServerInfo<'a>,
}

impl Message {
    /// The kind of the message for logs and SES tags.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Mail(mail) => mail.kind(),
            Self::Sms(sms) => sms.kind(),
        }
    }
}

impl Mail {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Link { purpose, .. } => purpose_kind(*purpose),
            Self::HasAccount { .. } => "has-account",
            Self::InUse { .. } => "in-use",
            Self::Notice { notice, .. } => notice.as_str(),
        }
    }

    fn subject(&self, server: &str) -> String {
        match self {
            Self::Link { purpose, .. } => match purpose {
                ValidationPurpose::Register => format!("Confirm your e-mail address for {server}"),
                ValidationPurpose::Reset => format!("Set a new password on {server}"),
                ValidationPurpose::Add => {
                    format!("Add this e-mail address to an account on {server}")
                }
            },
            Self::HasAccount { .. } => format!("You already have an account on {server}"),
            Self::InUse { .. } => format!("An account on {server} already has this e-mail address"),
            Self::Notice { notice, .. } => match notice {
                Notice::PasswordChanged => format!("Your password on {server} was changed"),
                Notice::AddressAdded => format!("An address was added to your account on {server}"),
                Notice::AddressRemoved => {
                    format!("An address was removed from your account on {server}")
                }
                Notice::Deactivated => format!("Your account on {server} was deactivated"),
                Notice::SessionEnded => {
                    format!("A device was signed out of your account on {server}")
                }
            },
        }
    }

    /// Renders the e-mail.
    pub(crate) fn render(&self, server: ServerInfo<'_>) -> Result<RenderedEmail, askama::Error> {
        let subject = self.subject(server.name);
        let html = MailHtmlTemplate {
            subject: &subject,
            mail: self,
            server,
        };
        Ok(RenderedEmail {
            html: html.render()?,
            text: MailTextTemplate { mail: self, server }.render()?,
            subject,
        })
    }
}

impl Sms {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Code { purpose, .. } => purpose_kind(*purpose),
            Self::HasAccount => "has-account",
            Self::InUse => "in-use",
        }
    }

    /// Renders the text message.
    pub(crate) fn render(&self, server: ServerInfo<'_>) -> Result<String, askama::Error> {
        SmsTemplate { sms: self, server }.render()
    }
}

const fn purpose_kind(purpose: ValidationPurpose) -> &'static str {
    match purpose {
        ValidationPurpose::Register => "sign-up",
        ValidationPurpose::Reset => "reset",
        ValidationPurpose::Add => "add",
    }
}

impl ServerInfo<'_> {
    /// The host to whose pages phones offer the code: the server name without its port, if it is the host of the pages
    /// or a parent domain of it, or else the host of the pages.
    fn host(&self) -> &str {
        let name = without_port(self.name);
        let page = page_host(self.public_url);
        let is_parent = page
            .strip_suffix(name)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if is_parent { name } else { page }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host,
    }
}

/// The host of a URL, without its port.
fn page_host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    without_port(rest.split(['/', '?', '#']).next().unwrap_or(rest))
}

#[cfg(test)]
mod tests;
