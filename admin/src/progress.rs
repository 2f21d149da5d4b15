//! The progress of long commands on stderr: a bar on a terminal, and otherwise a line at regular intervals.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::{Arc, Mutex},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::clock::{Clock, Timestamp};

use crate::Admin;

/// The time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// The progress of a command.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// The lines, if there are any.
    lines: Option<Lines>,
}

#[derive(Debug)]
struct Lines {
    clock: Arc<dyn Clock>,
    last: Mutex<Timestamp>,
}

impl Progress {
    /// Creates the progress of a command with this number of steps. It is hidden unless the admin CLI shows progress.
    pub(crate) fn new(steps: usize, admin: &Admin) -> Self {
        let has_bar = admin.show_progress && stderr().is_terminal();
        let target = if has_bar {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}, {eta} left") {
            bar.set_style(style);
        }
        if has_bar {
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        let has_lines = admin.show_progress && !has_bar;
        Self {
            bar,
            lines: has_lines.then(|| Lines::new(Arc::clone(&admin.clock))),
        }
    }

    /// Counts a finished step.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
        if self.lines.as_ref().is_some_and(Lines::is_due) {
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            // Nothing can be done if stderr is closed.
            let _ = writeln!(stderr(), "{done} of {all}");
        }
    }

    /// Removes the bar from the terminal.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Lines {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let last = Mutex::new(clock.now());
        Self { clock, last }
    }

    /// Whether a line must be printed now. At most one line is printed in an interval.
    fn is_due(&self) -> bool {
        let now = self.clock.now();
        let Ok(mut last) = self.last.lock() else {
            return false;
        };
        let is_due = now.since(*last) >= INTERVAL;
        if is_due {
            *last = now;
        }
        is_due
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Debug)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_line_is_due_once_in_an_interval() {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let lines = Lines::new(Arc::clone(&clock) as _);
        let mut due = Vec::new();
        for second in 0..=45 {
            clock.0.store(second * 1000, Ordering::Relaxed);
            if lines.is_due() {
                due.push(second);
            }
        }
        assert_eq!(due, [10, 20, 30, 40]);
    }
}
