//! The result of the command: a summary, and a file with all findings.

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    findings::{self, Finding},
    users::Counts,
};
use crate::Report;

/// The name of the file, unless the operator names another one.
const REPORT: &str = "synapse-import.csv";

/// The file of the report. It is opened before the import, so that an unusable path is an error before anything is
/// written.
pub(super) struct ReportFile {
    path: PathBuf,
    file: File,
}

impl ReportFile {
    pub(super) fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let path = path.unwrap_or_else(|| PathBuf::from(REPORT));
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(false).open(&path);
        let file = file.with_context(|| format!("cannot write the report {}", path.display()))?;
        Ok(Self { path, file })
    }

    pub(super) fn into_path(self) -> PathBuf {
        self.path
    }

    pub(super) fn write(&self, findings: &[Finding]) -> anyhow::Result<()> {
        let written = self.file.set_len(0).map_err(csv::Error::from);
        written
            .and_then(|()| findings::write_csv(findings, &self.file))
            .with_context(|| format!("cannot write the report {}", self.path.display()))
    }
}

/// The result of the command.
pub(super) struct Summary {
    pub(super) total: usize,
    pub(super) counts: Counts,
    pub(super) findings: Vec<Finding>,
    pub(super) report: Option<PathBuf>,
    pub(super) is_dry_run: bool,
    pub(super) needs_pepper: bool,
}

impl Summary {
    pub(super) fn report(&self) -> Report {
        let is_failure = |finding: &Finding| finding.kind.is_failure();
        Report {
            failed: self.findings.iter().any(is_failure),
            ..Report::success(self.json(), self.text().trim_end().to_owned())
        }
    }

    fn not_imported(&self) -> usize {
        self.total - self.counts.new - self.counts.already_imported
    }

    fn json(&self) -> Value {
        let counts = &self.counts;
        let findings = self.findings.iter().map(|finding| {
            json!({ "user": finding.user, "finding": finding.kind.name(), "detail": finding.text })
        });
        json!({
            "users": self.total, "new": counts.new, "imported_before": counts.already_imported,
            "not_imported": self.not_imported(), "devices": counts.devices, "access_tokens": counts.access_tokens,
            "refresh_tokens": counts.refresh_tokens, "needs_imported_pepper": self.needs_pepper,
            "findings": findings.collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        if self.report.is_none() {
            lines.extend(self.findings.iter().map(|finding| {
                format!(
                    "{}  {}: {}",
                    finding.user,
                    finding.kind.name(),
                    finding.text
                )
            }));
        }
        let counts = &self.counts;
        let (heading, verb) = if self.is_dry_run {
            ("dry run, nothing was written", "would be imported")
        } else {
            ("import finished", "imported")
        };
        lines.push(format!(
            "{heading}: {} of {} users {verb}, {} imported before, {} not imported",
            counts.new,
            self.total,
            counts.already_imported,
            self.not_imported()
        ));
        lines.push(format!(
            "with {} devices, {} access tokens and {} refresh tokens",
            counts.devices, counts.access_tokens, counts.refresh_tokens
        ));
        lines.extend(findings::counts(&self.findings));
        if let Some(path) = &self.report {
            lines.push(format!("the report is in {}", path.display()));
        }
        if self.needs_pepper {
            let advice = "set GATEHOUSE_IMPORTED_PEPPER of the functions to `password_config.pepper` of Synapse before users log in";
            lines.push(advice.to_owned());
        }
        lines.join("\n")
    }
}
