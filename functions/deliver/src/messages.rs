//! How the messages read.
//!
//! A new one is a variant of [`Mail`] or [`Text`], an arm in each of its matches, and its
//! templates: a mail has two of one name, `.txt` and `.html`, a text message one. What they are
//! given is ours alone, never a text that a client sent: nobody writes to strangers through us.

use askama::Template;
use shared::secrets::Secret;

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
    /// The link that confirms an address for a new account.
    SignUp {
        /// It.
        link: Secret,
        /// Whether it leads to a page that asks first, and can be told that it was somebody else.
        asks: bool,
    },
    /// The address has an account (3PID-05): says so to whoever reads its mail, and to nobody else.
    HasAccount,
}

/// A text message: 160 characters of the GSM alphabet, if the server's name is not too long.
#[derive(Debug)]
pub(crate) enum Text {
    /// The code that confirms a number for a new account, in the form that phones fill in by
    /// themselves.
    SignUp {
        /// It.
        code: Secret,
    },
    /// The number has an account. It may be somebody else's by now, as numbers go, so this does not
    /// say so, and invites to nothing.
    HasAccount,
}

/// A mail, written.
#[derive(PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

#[derive(Template)]
#[template(path = "sign-up.txt")]
struct SignUpText<'a> {
    server: &'a str,
    link: &'a str,
    asks: bool,
}

#[derive(Template)]
#[template(path = "sign-up.html")]
struct SignUpHtml<'a> {
    subject: &'a str,
    server: &'a str,
    link: &'a str,
    asks: bool,
}

#[derive(Template)]
#[template(path = "has-account.txt")]
struct HasAccountText<'a> {
    server: &'a str,
}

#[derive(Template)]
#[template(path = "has-account.html")]
struct HasAccountHtml<'a> {
    subject: &'a str,
    server: &'a str,
}

#[derive(Template)]
#[template(path = "sign-up-sms.txt")]
struct SignUpSms<'a> {
    server: &'a str,
    host: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "has-account-sms.txt")]
struct HasAccountSms<'a> {
    server: &'a str,
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
            Self::SignUp { .. } => "sign-up",
            Self::HasAccount => "has-account",
        }
    }

    /// The mail as this server sends it.
    pub(crate) fn write(&self, server: &str) -> Result<Letter, askama::Error> {
        match self {
            Self::SignUp { link, asks } => {
                let subject = format!("Confirm your e-mail address for {server}");
                let (link, asks) = (link.reveal().as_str(), *asks);
                let text = SignUpText { server, link, asks }.render()?;
                let page = SignUpHtml {
                    subject: &subject,
                    server,
                    link,
                    asks,
                };
                Ok(Letter {
                    html: page.render()?,
                    text,
                    subject,
                })
            }
            Self::HasAccount => {
                let subject = format!("You already have an account on {server}");
                let page = HasAccountHtml {
                    subject: &subject,
                    server,
                };
                Ok(Letter {
                    html: page.render()?,
                    text: HasAccountText { server }.render()?,
                    subject,
                })
            }
        }
    }
}

impl Text {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::SignUp { .. } => "sign-up",
            Self::HasAccount => "has-account",
        }
    }

    /// The text as this server sends it.
    pub(crate) fn write(&self, server: &str) -> Result<String, askama::Error> {
        match self {
            Self::SignUp { code } => SignUpSms {
                server,
                host: host(server),
                code: code.reveal(),
            }
            .render(),
            Self::HasAccount => HasAccountSms { server }.render(),
        }
    }
}

/// A server's name without its port: what a code is bound to.
fn host(server: &str) -> &str {
    match server.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => server,
    }
}

#[cfg(test)]
mod tests;
