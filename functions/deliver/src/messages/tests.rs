//! The exact texts of the messages.

use shared::{client_network::ClientNetwork, clock::Timestamp};

use super::*;

const SERVER: ServerInfo<'static> = server_named("example.org");
/// Longer than most server names.
const LONG_SERVER: &str = "matrix.students.example.org";
const LINK: &str = "https://matrix.example.org/_matrix/client/v3/validate/email/submitToken?sid=k.SID&token=k.TOKEN";
const PURPOSES: [ValidationPurpose; 3] = [
    ValidationPurpose::Register,
    ValidationPurpose::Reset,
    ValidationPurpose::Add,
];
const NOTICES: [Notice; 5] = [
    Notice::PasswordChanged,
    Notice::AddressAdded,
    Notice::AddressRemoved,
    Notice::Deactivated,
    Notice::SessionEnded,
];

const fn server_named(name: &str) -> ServerInfo<'_> {
    ServerInfo {
        name,
        public_url: "https://matrix.students.example.org",
        password_reset: true,
    }
}

fn with_link(purpose: ValidationPurpose, confirmation_page: bool) -> Mail {
    Mail::Link {
        purpose,
        link: Secret::new(LINK.to_owned()),
        confirmation_page,
        origin: Some(origin(
            (purpose == ValidationPurpose::Reset).then_some(false),
        )),
    }
}

fn origin(is_known: Option<bool>) -> RequestOrigin {
    RequestOrigin {
        time: Timestamp(1_800_000_000_000),
        network: ClientNetwork::parse("203.0.113.7"),
        is_known,
    }
}

fn notice(notice: Notice) -> Mail {
    Mail::Notice {
        notice,
        date: "15 January 2027 at 08:00 UTC".to_owned(),
    }
}

fn has_account(is_known: bool) -> Mail {
    Mail::HasAccount {
        origin: Some(origin(Some(is_known))),
    }
}

fn in_use(is_known: bool) -> Mail {
    Mail::InUse {
        origin: Some(origin(Some(is_known))),
    }
}

/// Every e-mail without a link.
fn without_link() -> Vec<Mail> {
    let mut mails = vec![has_account(true), in_use(false)];
    mails.extend(NOTICES.map(notice));
    mails
}

fn codes() -> [Sms; 3] {
    PURPOSES.map(|purpose| Sms::Code {
        purpose,
        code: Secret::new("012345".to_owned()),
    })
}

fn text_messages() -> Vec<Sms> {
    let mut messages: Vec<_> = codes().into();
    messages.extend([Sms::HasAccount, Sms::InUse]);
    messages
}

fn render_all(mail: &Mail) -> String {
    let RenderedEmail {
        subject,
        text,
        html,
    } = mail.render(SERVER).unwrap();
    format!("{subject}\n=====\n{text}\n=====\n{html}")
}

#[test]
fn email_to_register() {
    insta::assert_snapshot!(render_all(&with_link(ValidationPurpose::Register, true)));
}

#[test]
fn email_to_reset_the_password() {
    insta::assert_snapshot!(render_all(&with_link(ValidationPurpose::Reset, true)));
}

#[test]
fn email_to_add_an_address() {
    insta::assert_snapshot!(render_all(&with_link(ValidationPurpose::Add, true)));
}

#[test]
fn email_without_a_confirmation_page() {
    for purpose in [ValidationPurpose::Register, ValidationPurpose::Add] {
        let email = with_link(purpose, false).render(SERVER).unwrap();
        for part in [&email.text, &email.html] {
            assert!(!part.contains("not me"), "{part}");
        }
    }
    let email = with_link(ValidationPurpose::Register, false)
        .render(SERVER)
        .unwrap();
    insta::assert_snapshot!(email.text);
}

#[test]
fn email_to_the_owner_of_an_account() {
    insta::assert_snapshot!(render_all(&has_account(true)));
}

#[test]
fn email_about_an_address_in_use() {
    insta::assert_snapshot!(render_all(&in_use(false)));
}

#[test]
fn security_notifications() {
    let notifications = NOTICES.map(|change| render_all(&notice(change)));
    insta::assert_snapshot!(notifications.join("\n=====\n"));
}

#[test]
fn all_text_messages() {
    let messages: Vec<_> = text_messages()
        .iter()
        .map(|sms| sms.render(SERVER).unwrap())
        .collect();
    insta::assert_snapshot!(messages.join("\n=====\n"));
}

/// 3PID-52: users, and programs that read e-mails for them, find the link alone on its line.
#[test]
fn the_link_is_alone_on_its_line_and_unbroken_in_the_html() {
    for purpose in PURPOSES {
        let email = with_link(purpose, true).render(SERVER).unwrap();
        assert_eq!(email.text.lines().filter(|line| *line == LINK).count(), 1);
        assert_eq!(email.text.matches("http").count(), 1);
        let escaped = LINK.replace('&', "&#38;");
        assert_eq!(email.html.matches(&format!("\"{escaped}\"")).count(), 2);
        assert!(email.html.contains(&format!(">{escaped}</a>")));
    }
}

/// An opened e-mail loads no resource and runs no code.
#[test]
fn an_email_loads_nothing_and_has_no_other_link() {
    let mut mails = without_link();
    for purpose in PURPOSES {
        mails.extend([true, false].map(|page| with_link(purpose, page)));
    }
    for mail in mails {
        let html = mail.render(SERVER).unwrap().html;
        for word in [
            "<img", "src=", "url(", "<script", "<style", "<link", "<form",
        ] {
            assert!(!html.contains(word), "{word}");
        }
        let is_link = matches!(mail, Mail::Link { .. });
        let links = if is_link { 2 } else { 0 };
        assert_eq!(html.matches("href=").count(), links, "{}", mail.kind());
    }
}

/// 3PID-05: an e-mail that only informs has no link, because phishing e-mails have links.
#[test]
fn an_email_that_validates_nothing_has_no_link() {
    for mail in without_link() {
        let email = mail.render(SERVER).unwrap();
        for part in [&email.text, &email.html] {
            assert!(!part.contains("://") && !part.contains("href"), "{part}");
            assert!(part.contains("If this was not you"), "{part}");
        }
    }
}

/// The texts mention a password reset only if the server has one.
#[test]
fn a_password_reset_is_mentioned_only_if_it_is_enabled() {
    let mut mentioning = Vec::new();
    for mail in without_link() {
        let render = |password_reset| {
            let server = ServerInfo {
                password_reset,
                ..SERVER
            };
            let email = mail.render(server).unwrap();
            [email.text, email.html].map(|part| part.replace('\n', " "))
        };
        for part in render(false) {
            assert!(!part.contains("Forgot password"), "{}", mail.kind());
            assert!(!part.contains("set a new password"), "{part}");
        }
        let [text, html] = render(true).map(|part| part.contains("Forgot password"));
        assert_eq!(text, html, "{}", mail.kind());
        mentioning.extend(text.then(|| mail.kind()));
    }
    let expected = [
        "has-account",
        "password-changed",
        "address-added",
        "address-removed",
    ];
    assert_eq!(mentioning, expected);
}

#[test]
fn the_text_and_the_html_of_an_email_say_the_same() {
    let mut mails = without_link();
    mails.extend(PURPOSES.map(|purpose| with_link(purpose, true)));
    for mail in mails {
        let email = mail.render(SERVER).unwrap();
        let words = |text: &str| -> Vec<String> {
            let words = text.split_whitespace().map(str::to_owned);
            words.collect()
        };
        let html = email.html.split_once("</h1>").unwrap().1;
        let mut bare = String::new();
        let mut is_tag = false;
        for c in html.chars() {
            match c {
                '<' => is_tag = true,
                '>' => {
                    is_tag = false;
                    bare.push(' ');
                }
                _ if !is_tag => bare.push(c),
                _ => {}
            }
        }
        let bare = bare.replace(['“', '”'], "\"").replace(" .", ".");
        let (text, html) = (words(&email.text), words(&bare));
        // The link, which the HTML has twice, and the `--` before the signature are not compared.
        let own = |word: &&String| !word.starts_with("http") && *word != "--";
        let text: Vec<_> = text.iter().filter(own).collect();
        let html = html.iter().filter(own);
        let mut missing = text.iter().copied();
        let mut wanted = missing.next();
        for word in html {
            if wanted == Some(word) {
                wanted = missing.next();
            }
        }
        assert_eq!(
            wanted,
            None,
            "{}: a word of the text is missing in the HTML",
            mail.kind()
        );
    }
}

/// A text message with more than 160 characters, or with characters outside GSM 03.38, is sent and
/// charged as several.
#[test]
fn a_text_message_fits_into_one_sms() {
    // Characters of GSM 03.38, without those that count twice.
    let plain = |c: char| c.is_ascii_alphanumeric() || " \n!\"#%&'()*+,-./:;<=>?@".contains(c);
    for server in [SERVER.name, LONG_SERVER, "localhost:8008"] {
        for sms in text_messages() {
            let written = sms.render(server_named(server)).unwrap();
            assert!(written.len() <= 160, "{} {written}", written.len());
            assert!(written.chars().all(plain), "{written}");
            assert!(written.contains(server), "{written}");
        }
    }
}

/// Phones offer a code only to pages of the host on the last line, and of its subdomains.
#[test]
fn a_code_is_bound_to_the_host_of_the_pages() {
    for (name, public_url, host) in [
        ("example.org", "https://example.org", "example.org"),
        ("example.org", "https://matrix.example.org", "example.org"),
        (
            "example.org:8448",
            "https://matrix.example.org:8448/x",
            "example.org",
        ),
        (
            "example.org",
            "https://accounts.example.net",
            "accounts.example.net",
        ),
        (
            "example.org",
            "https://accounts.example.net:8443/a",
            "accounts.example.net",
        ),
        ("example.org", "https://badexample.org", "badexample.org"),
        (
            "chat.example.org",
            "https://accounts.example.org",
            "accounts.example.org",
        ),
        ("[2001:db8::1]", "https://[2001:db8::1]", "[2001:db8::1]"),
        (
            "[2001:db8::1]:8448",
            "https://[2001:db8::1]:8448",
            "[2001:db8::1]",
        ),
    ] {
        for sms in codes() {
            let server = ServerInfo {
                public_url,
                ..server_named(name)
            };
            let written = sms.render(server).unwrap();
            let last = format!("@{host} #012345");
            assert_eq!(written.lines().last(), Some(&*last));
            assert!(!written.ends_with('\n'), "{written:?}");
        }
    }
}

/// Numbers are reassigned, so the current owner of a number must not learn of an account.
#[test]
fn a_text_message_does_not_reveal_an_account() {
    for sms in [Sms::HasAccount, Sms::InUse] {
        let written = sms.render(SERVER).unwrap();
        for word in ["password", "already", "your account", "sign in", "#", "://"] {
            assert!(!written.contains(word), "{word} in {written}");
        }
    }
}
