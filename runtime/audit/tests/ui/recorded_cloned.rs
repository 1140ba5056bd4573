//! One entry permits one step.
use yunei_audit::Recorded;

fn twice(recorded: &Recorded<u8>) -> Recorded<u8> {
    Clone::clone(recorded)
}

fn main() {
    fn needs_clone<T: Clone>() {}
    needs_clone::<Recorded<u8>>();
}
