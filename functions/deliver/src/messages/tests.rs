//! What is sent, to the letter.

use super::*;

const HERE: Here<'static> = here("example.org");
/// Longer than most.
const LONG_SERVER: &str = "matrix.students.example.org";
const LINK: &str = "https://matrix.example.org/_matrix/client/v3/validate/email/submitToken?sid=k.SID&token=k.TOKEN";
const PURPOSES: [ValidationPurpose; 3] = [
    ValidationPurpose::Register,
    ValidationPurpose::Reset,
    ValidationPurpose::Add,
];
const NOTICES: [Notice; 4] = [
    Notice::PasswordChanged,
    Notice::AddressAdded,
    Notice::AddressRemoved,
    Notice::Deactivated,
];

const fn here(server: &str) -> Here<'_> {
    Here {
        server,
        resets: true,
    }
}

fn with_link(purpose: ValidationPurpose, asks: bool) -> Mail {
    Mail::Link {
        purpose,
        link: Secret::new(LINK.to_owned()),
        asks,
    }
}

fn notice(notice: Notice) -> Mail {
    Mail::Notice {
        notice,
        when: "15 January 2027 at 08:00 UTC".to_owned(),
    }
}

/// Every mail without a link.
fn without_link() -> Vec<Mail> {
    let mut mails = vec![Mail::HasAccount, Mail::InUse];
    mails.extend(NOTICES.map(notice));
    mails
}

fn codes() -> [Text; 3] {
    PURPOSES.map(|purpose| Text::Code {
        purpose,
        code: Secret::new("012345".to_owned()),
    })
}

fn texts() -> Vec<Text> {
    let mut texts: Vec<_> = codes().into();
    texts.extend([Text::HasAccount, Text::InUse]);
    texts
}

fn whole(mail: &Mail) -> String {
    let letter = mail.write(HERE).unwrap();
    let RenderedEmail {
        subject,
        text,
        html,
    } = letter;
    format!("{subject}\n=====\n{text}\n=====\n{html}")
}

#[test]
fn the_mail_with_the_link() {
    insta::assert_snapshot!(whole(&with_link(ValidationPurpose::Register, true)));
}

#[test]
fn the_mail_with_the_link_to_a_new_password() {
    insta::assert_snapshot!(whole(&with_link(ValidationPurpose::Reset, true)));
}

#[test]
fn the_mail_with_the_link_that_adds_an_address() {
    insta::assert_snapshot!(whole(&with_link(ValidationPurpose::Add, true)));
}

#[test]
fn the_mail_whose_link_confirms_at_once_names_no_page_that_asks() {
    for purpose in [ValidationPurpose::Register, ValidationPurpose::Add] {
        let letter = with_link(purpose, false).write(HERE).unwrap();
        for part in [&letter.text, &letter.html] {
            assert!(!part.contains("not me"), "{part}");
        }
    }
    let letter = with_link(ValidationPurpose::Register, false)
        .write(HERE)
        .unwrap();
    insta::assert_snapshot!(letter.text);
}

#[test]
fn the_mail_to_who_has_an_account() {
    insta::assert_snapshot!(whole(&Mail::HasAccount));
}

#[test]
fn the_mail_to_whose_address_somebody_wanted_to_add() {
    insta::assert_snapshot!(whole(&Mail::InUse));
}

#[test]
fn the_notices() {
    let notices = NOTICES.map(|own| whole(&notice(own)));
    insta::assert_snapshot!(notices.join("\n=====\n"));
}

#[test]
fn the_text_messages() {
    let texts: Vec<_> = texts().iter().map(|t| t.write(HERE).unwrap()).collect();
    insta::assert_snapshot!(texts.join("\n=====\n"));
}

/// 3PID-52: people, and programs that read mail for them, find the link alone on its line.
#[test]
fn the_link_stands_alone_in_the_text_and_whole_in_the_html() {
    for purpose in PURPOSES {
        let letter = with_link(purpose, true).write(HERE).unwrap();
        assert_eq!(letter.text.lines().filter(|line| *line == LINK).count(), 1);
        assert_eq!(letter.text.matches("http").count(), 1);
        let escaped = LINK.replace('&', "&#38;");
        assert_eq!(letter.html.matches(&format!("\"{escaped}\"")).count(), 2);
        assert!(letter.html.contains(&format!(">{escaped}</a>")));
    }
}

/// Nothing is loaded from anywhere when a mail is opened, and nothing runs.
#[test]
fn a_mail_loads_nothing_and_leads_nowhere_but_to_its_link() {
    let mut mails = without_link();
    for purpose in PURPOSES {
        mails.extend([true, false].map(|asks| with_link(purpose, asks)));
    }
    for mail in mails {
        let html = mail.write(HERE).unwrap().html;
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

/// 3PID-05: who is told something has nothing to follow: a link would be what to look out for.
#[test]
fn a_mail_that_confirms_nothing_has_no_link() {
    for mail in without_link() {
        let letter = mail.write(HERE).unwrap();
        for part in [&letter.text, &letter.html] {
            assert!(!part.contains("://") && !part.contains("href"), "{part}");
            assert!(part.contains("not you?"), "{part}");
        }
    }
}

/// The way to a new password is named where there is one.
#[test]
fn who_could_set_a_new_password_is_told_how_only_where_it_can_be_done() {
    let mut inviting = Vec::new();
    for mail in without_link() {
        let told = |resets| {
            let server = HERE.server;
            let letter = mail.write(Here { server, resets }).unwrap();
            let parts = [letter.text, letter.html];
            parts.map(|part| part.replace('\n', " ").contains("Forgot password"))
        };
        assert_eq!(told(false), [false, false], "{}", mail.kind());
        let server = HERE.server;
        let letter = mail
            .write(Here {
                server,
                resets: false,
            })
            .unwrap();
        for part in [letter.text, letter.html] {
            assert!(!part.contains("set a new password"), "{part}");
        }
        let [text, html] = told(true);
        assert_eq!(text, html, "{}", mail.kind());
        inviting.extend(text.then(|| mail.kind()));
    }
    let expected = [
        "has-account",
        "password-changed",
        "address-added",
        "address-removed",
    ];
    assert_eq!(inviting, expected);
}

/// Both forms say the same.
#[test]
fn the_text_of_a_mail_is_its_html_without_marks() {
    let mut mails = without_link();
    mails.extend(PURPOSES.map(|purpose| with_link(purpose, true)));
    for mail in mails {
        let letter = mail.write(HERE).unwrap();
        let words = |text: &str| -> Vec<String> {
            let words = text.split_whitespace().map(str::to_owned);
            words.collect()
        };
        let html = letter.html.split_once("</h1>").unwrap().1;
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
        let (text, html) = (words(&letter.text), words(&bare));
        // But for the link, which is there twice, and its button.
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
        assert_eq!(wanted, None, "{}: the HTML lacks it", mail.kind());
    }
}

/// A text of more than 160 characters, or with others than GSM's, is sent and paid as several.
#[test]
fn a_text_is_one_text() {
    // Of GSM 03.38, without the characters that count twice.
    let plain = |c: char| c.is_ascii_alphanumeric() || " \n!\"#%&'()*+,-./:;<=>?@".contains(c);
    for server in [HERE.server, LONG_SERVER, "localhost:8008"] {
        for text in texts() {
            let written = text.write(here(server)).unwrap();
            assert!(written.len() <= 160, "{} {written}", written.len());
            assert!(written.chars().all(plain), "{written}");
            assert!(written.contains(server), "{written}");
        }
    }
}

/// Phones offer a code to whatever is of the domain on the last line.
#[test]
fn a_code_is_bound_to_the_host_on_the_last_line() {
    for text in codes() {
        for (server, last) in [
            ("example.org", "@example.org #012345"),
            ("example.org:8448", "@example.org #012345"),
            ("[2001:db8::1]", "@[2001:db8::1] #012345"),
            ("[2001:db8::1]:8448", "@[2001:db8::1] #012345"),
        ] {
            let written = text.write(here(server)).unwrap();
            assert_eq!(written.lines().last(), Some(last));
            assert!(!written.ends_with('\n'), "{written:?}");
        }
    }
}

/// Numbers pass from hand to hand: whoever has one now learns of no account.
#[test]
fn a_text_does_not_say_that_there_is_an_account() {
    for text in [Text::HasAccount, Text::InUse] {
        let written = text.write(HERE).unwrap();
        for word in ["password", "already", "your account", "sign in", "#", "://"] {
            assert!(!written.contains(word), "{word} in {written}");
        }
    }
}
