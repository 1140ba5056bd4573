//! Bars and spinners, on stderr, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work under way. Dropping it takes it off the screen.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn counting(shown: bool, label: &str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), target(shown));
        Self::styled(bar, label, "  {msg}  {bar:32}  {percent:>3} %  {human_pos} / {human_len}")
    }

    pub(super) fn spinning(shown: bool, label: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, target(shown));
        if shown {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self::styled(bar, label, "  {spinner} {msg}")
    }

    fn styled(bar: ProgressBar, label: &str, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the templates above are well formed");
        bar.set_style(style.progress_chars("━╸─").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        bar.set_message(label.to_owned());
        Self(bar)
    }

    /// How far the work is.
    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// How far work is whose length is known by and by.
    pub(crate) fn move_to(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Takes it off the screen.
    pub(crate) fn done(self) {
        drop(self);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn target(shown: bool) -> ProgressDrawTarget {
    if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() }
}
