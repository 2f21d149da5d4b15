//! How the messages read.
//!
//! A new one is a variant of [`Mail`] or [`Text`], and an arm where the compiler and the templates
//! ask for one: a mail has two bodies of one name, `.txt` and `.html`, that `mail.txt` and
//! `mail.html` stand around; a text message is an arm of `sms.txt`. What they are given is ours alone,
//! never a text that a client sent: nobody writes to strangers through us.

use askama::Template;
use shared::{outbox::Notice, secrets::Secret, threepids::proofs::ValidationPurpose};

/// A message, in one medium.
#[derive(Debug)]
pub(crate) enum Message {
    /// A mail.
    Mail(Mail),
    /// A text message.
    Text(Text),
}

/// A mail.
#[derive(Debug)]
pub(crate) enum Mail {
    /// The link that confirms an address.
    Link {
        /// What for.
        purpose: ValidationPurpose,
        /// It.
        link: Secret,
        /// Whether it leads to a page that asks first, and can be told that it was somebody else.
        asks: bool,
    },
    /// Somebody wanted an account for the address, which has one (3PID-05): says so to whoever reads
    /// its mail, and to nobody else.
    HasAccount,
    /// Somebody wanted to add the address to an account, and one has it (3PID-07): the same.
    InUse,
    /// What has been done to an account that had the address. It does not name the account: the
    /// address may have passed to somebody else.
    Notice {
        /// It.
        notice: Notice,
        /// When it was done, in words.
        when: String,
    },
}

/// A text message: 160 characters of the GSM alphabet, if the server's name is not too long.
#[derive(Debug)]
pub(crate) enum Text {
    /// The code that confirms a number, in the form that phones fill in by themselves.
    Code {
        /// What for.
        purpose: ValidationPurpose,
        /// It.
        code: Secret,
    },
    /// Somebody wanted an account for the number, which has one. It may be somebody else's by now, as
    /// numbers go, so this does not say so, and invites to nothing.
    HasAccount,
    /// Somebody wanted to add the number to an account, and one has it: the same.
    InUse,
}

/// What messages say of where they come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here<'a> {
    /// The server's name.
    pub(crate) server: &'a str,
    /// Whether people can set a new password by mail.
    pub(crate) resets: bool,
}

/// A mail, written.
#[derive(PartialEq, Eq)]
pub(crate) struct RenderedEmail {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

#[derive(Template)]
#[template(path = "mail.txt")]
struct MailText<'a> {
    mail: &'a Mail,
    here: Here<'a>,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailHtml<'a> {
    subject: &'a str,
    mail: &'a Mail,
    here: Here<'a>,
}

#[derive(Template)]
#[template(path = "sms.txt")]
struct Sms<'a> {
    text: &'a Text,
    here: Here<'a>,
}

impl Message {
    /// What it is, in logs and tags.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Mail(mail) => mail.kind(),
            Self::Text(text) => text.kind(),
        }
    }
}

impl Mail {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Link { purpose, .. } => kind_of(*purpose),
            Self::HasAccount => "has-account",
            Self::InUse => "in-use",
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
            Self::HasAccount => format!("You already have an account on {server}"),
            Self::InUse => format!("An account on {server} already has this e-mail address"),
            Self::Notice { notice, .. } => match notice {
                Notice::PasswordChanged => format!("Your password on {server} was changed"),
                Notice::AddressAdded => format!("An address was added to your account on {server}"),
                Notice::AddressRemoved => {
                    format!("An address was removed from your account on {server}")
                }
                Notice::Deactivated => format!("Your account on {server} was deactivated"),
            },
        }
    }

    /// The mail as it is sent from here.
    pub(crate) fn write(&self, here: Here<'_>) -> Result<RenderedEmail, askama::Error> {
        let subject = self.subject(here.server);
        let page = MailHtml {
            subject: &subject,
            mail: self,
            here,
        };
        Ok(RenderedEmail {
            html: page.render()?,
            text: MailText { mail: self, here }.render()?,
            subject,
        })
    }
}

impl Text {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Code { purpose, .. } => kind_of(*purpose),
            Self::HasAccount => "has-account",
            Self::InUse => "in-use",
        }
    }

    /// The text as it is sent from here.
    pub(crate) fn write(&self, here: Here<'_>) -> Result<String, askama::Error> {
        Sms { text: self, here }.render()
    }
}

const fn kind_of(purpose: ValidationPurpose) -> &'static str {
    match purpose {
        ValidationPurpose::Register => "sign-up",
        ValidationPurpose::Reset => "reset",
        ValidationPurpose::Add => "add",
    }
}

impl Here<'_> {
    /// The server's name without its port: what a code is bound to.
    fn host(&self) -> &str {
        match self.server.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => self.server,
        }
    }
}

#[cfg(test)]
mod tests;
