//! Everything that an import does not move, or that changes: one finding for each fact about a user.

use std::{collections::BTreeMap, io::Write};

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Guest,
    Appservice,
    Username,
    Taken,
    Changed,
    Admin,
    ShadowBan,
    UserType,
    Approval,
    Validity,
    Deactivation,
    Erasure,
    Created,
    Password,
    NoPassword,
    IdentityProvider,
    Address,
    Binding,
    Device,
    Token,
    SessionLifetime,
}

impl Kind {
    /// The name in the report.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Appservice => "appservice",
            Self::Username => "username",
            Self::Taken => "taken",
            Self::Changed => "changed",
            Self::Admin => "admin",
            Self::ShadowBan => "shadow-ban",
            Self::UserType => "user-type",
            Self::Approval => "approval",
            Self::Validity => "validity",
            Self::Deactivation => "deactivation",
            Self::Erasure => "erasure",
            Self::Created => "created",
            Self::Password => "password",
            Self::NoPassword => "no-password",
            Self::IdentityProvider => "identity-provider",
            Self::Address => "address",
            Self::Binding => "binding",
            Self::Device => "device",
            Self::Token => "token",
            Self::SessionLifetime => "session-lifetime",
        }
    }

    /// Whether the account is not imported.
    pub(super) const fn excludes_account(self) -> bool {
        matches!(
            self,
            Self::Guest | Self::Appservice | Self::Username | Self::Taken | Self::Changed
        )
    }

    /// Whether the operator must solve it before the import is complete.
    pub(super) const fn is_failure(self) -> bool {
        matches!(self, Self::Taken | Self::Changed)
    }

    /// The meaning, for the summary.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Guest => "guests are not imported, because their sessions end",
            Self::Appservice => "users of application services stay with the homeserver",
            Self::Username => "the user ID cannot be that of an account",
            Self::Taken => "another account has the username",
            Self::Changed => "the account was imported before, from other data",
            Self::Admin => "the account is no longer a server administrator",
            Self::ShadowBan => "the shadow ban ends",
            Self::UserType => "the user type stays with the homeserver",
            Self::Approval => "the account is locked, because it is not approved",
            Self::Validity => "the end of the account's validity is dropped",
            Self::Deactivation => "the deactivation is not completed, or left data that is dropped",
            Self::Erasure => "the mark of erasure stays with the homeserver",
            Self::Created => "the time of creation is not known",
            Self::Password => "the password is dropped",
            Self::NoPassword => "the account has no password",
            Self::IdentityProvider => "logins with an identity provider end",
            Self::Address => "an address is dropped or changed",
            Self::Binding => "a binding at an identity server stays with the homeserver",
            Self::Device => "a device is dropped or changed",
            Self::Token => "a token is dropped",
            Self::SessionLifetime => "a session no longer expires",
        }
    }
}

/// A fact about a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// The user ID.
    pub(super) user: String,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// Writes the findings as CSV with a header line.
pub(super) fn write_csv(findings: &[Finding], out: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["user", "account", "finding", "detail"])?;
    for finding in findings {
        let account = if finding.kind.excludes_account() {
            "not imported"
        } else {
            "imported"
        };
        let row = [&finding.user, account, finding.kind.name(), &finding.text];
        csv.write_record(row)?;
    }
    csv.flush()?;
    Ok(())
}

/// A line for each kind of finding with its number of users.
pub(super) fn counts(findings: &[Finding]) -> Vec<String> {
    let mut users: BTreeMap<Kind, Vec<&str>> = BTreeMap::new();
    for finding in findings {
        users.entry(finding.kind).or_default().push(&finding.user);
    }
    let lines = users.into_iter().map(|(kind, mut users)| {
        users.sort_unstable();
        users.dedup();
        let (count, name, meaning) = (users.len(), kind.name(), kind.meaning());
        format!("{count:>9}  {name}: {meaning}")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_each_finding_and_the_summary_counts_users() {
        let finding = |user: &str, kind: Kind, text: &str| Finding {
            user: user.to_owned(),
            kind,
            text: text.to_owned(),
        };
        let findings = [
            finding("@a:x", Kind::Device, "one, \"two\""),
            finding("@a:x", Kind::Device, "three"),
            finding("@b:x", Kind::Guest, "four"),
        ];
        let mut csv = Vec::new();
        write_csv(&findings, &mut csv).unwrap();
        assert_eq!(
            String::from_utf8(csv).unwrap(),
            "user,account,finding,detail\n@a:x,imported,device,\"one, \"\"two\"\"\"\n@a:x,imported,device,three\n\
             @b:x,not imported,guest,four\n"
        );
        let lines = counts(&findings);
        let lines: Vec<_> = lines.iter().map(|line| line.trim()).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("1  guest: ") && lines[1].starts_with("1  device: "));
    }
}
