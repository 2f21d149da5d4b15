//! What is sent, to the letter.

use super::*;

const SERVER: &str = "example.org";
/// Longer than most.
const LONG_SERVER: &str = "matrix.students.example.org";
const LINK: &str = "https://matrix.example.org/_matrix/client/v3/validate/email/submitToken?sid=k.SID&token=k.TOKEN";

fn sign_up(asks: bool) -> Mail {
    Mail::SignUp {
        link: Secret::new(LINK.to_owned()),
        asks,
    }
}

fn texts() -> [Text; 2] {
    let code = Secret::new("012345".to_owned());
    [Text::SignUp { code }, Text::HasAccount]
}

fn whole(mail: &Mail) -> String {
    let letter = mail.write(SERVER).unwrap();
    let Letter {
        subject,
        text,
        html,
    } = letter;
    format!("{subject}\n=====\n{text}\n=====\n{html}")
}

#[test]
fn the_mail_with_the_link() {
    insta::assert_snapshot!(whole(&sign_up(true)));
}

#[test]
fn the_mail_whose_link_confirms_at_once_names_no_page_that_asks() {
    let letter = sign_up(false).write(SERVER).unwrap();
    for part in [&letter.text, &letter.html] {
        assert!(!part.contains("not me"), "{part}");
    }
    insta::assert_snapshot!(letter.text);
}

#[test]
fn the_mail_to_who_has_an_account() {
    insta::assert_snapshot!(whole(&Mail::HasAccount));
}

#[test]
fn the_text_messages() {
    let texts: Vec<_> = texts().iter().map(|t| t.write(SERVER).unwrap()).collect();
    insta::assert_snapshot!(texts.join("\n=====\n"));
}

/// 3PID-52: people, and programs that read mail for them, find the link alone on its line.
#[test]
fn the_link_stands_alone_in_the_text_and_whole_in_the_html() {
    let letter = sign_up(true).write(SERVER).unwrap();
    assert_eq!(letter.text.lines().filter(|line| *line == LINK).count(), 1);
    assert_eq!(letter.text.matches("http").count(), 1);
    let escaped = LINK.replace('&', "&#38;");
    assert_eq!(letter.html.matches(&format!("\"{escaped}\"")).count(), 2);
    assert!(letter.html.contains(&format!(">{escaped}</a>")));
}

/// Nothing is loaded from anywhere when a mail is opened, and nothing runs.
#[test]
fn a_mail_loads_nothing_and_leads_nowhere_but_to_its_link() {
    for mail in [sign_up(true), sign_up(false), Mail::HasAccount] {
        let html = mail.write(SERVER).unwrap().html;
        for word in [
            "<img", "src=", "url(", "<script", "<style", "<link", "<form",
        ] {
            assert!(!html.contains(word), "{word}");
        }
        let links = if mail.kind() == "sign-up" { 2 } else { 0 };
        assert_eq!(html.matches("href=").count(), links);
    }
}

/// 3PID-05: the note to who has an account confirms nothing and leads nowhere.
#[test]
fn the_mail_to_who_has_an_account_has_no_link() {
    let letter = Mail::HasAccount.write(SERVER).unwrap();
    for part in [&letter.text, &letter.html] {
        assert!(!part.contains("://") && part.contains("Forgot password"));
    }
}

/// A text of more than 160 characters, or with others than GSM's, is sent and paid as several.
#[test]
fn a_text_is_one_text() {
    // Of GSM 03.38, without the characters that count twice.
    let plain = |c: char| c.is_ascii_alphanumeric() || " \n!\"#%&'()*+,-./:;<=>?@".contains(c);
    for server in [SERVER, LONG_SERVER, "localhost:8008"] {
        for text in texts() {
            let written = text.write(server).unwrap();
            assert!(written.len() <= 160, "{} {written}", written.len());
            assert!(written.chars().all(plain), "{written}");
            assert!(written.contains(server), "{written}");
        }
    }
}

/// Phones offer a code to whatever is of the domain on the last line.
#[test]
fn a_code_is_bound_to_the_host_on_the_last_line() {
    let [text, _] = texts();
    for (server, last) in [
        ("example.org", "@example.org #012345"),
        ("example.org:8448", "@example.org #012345"),
        ("[2001:db8::1]", "@[2001:db8::1] #012345"),
        ("[2001:db8::1]:8448", "@[2001:db8::1] #012345"),
    ] {
        let written = text.write(server).unwrap();
        assert_eq!(written.lines().last(), Some(last));
        assert!(!written.ends_with('\n'), "{written:?}");
    }
}

/// Numbers pass from hand to hand: whoever has one now learns of no account.
#[test]
fn a_text_does_not_say_that_there_is_an_account() {
    let written = Text::HasAccount.write(SERVER).unwrap();
    for word in ["password", "already", "your account", "sign in", "#", "://"] {
        assert!(!written.contains(word), "{word} in {written}");
    }
}
